"""Does fine-tuning improve the warp? A sheet to look at, and three numbers that no network has a say in.

    python benchmarks/oeft_quality.py PAIRS --output sheet.png [--checkpoint oeft-starter] [--preset balanced]

PAIRS is a folder of pictures NAME_source.* and NAME_target.*. Every pair is warped with the pretrained features, after
fine-tuning, and after fine-tuning without online augmentation (OEFT fig. 8).

- edges: correlation of the edges of source and result, -1..1; higher: more of the source's structure.
- colors: sliced Wasserstein distance of the colors of result and exemplar, levels of 0..255; lower: more of the
  exemplar's style.
- truth: the source against a turned, scaled, shifted and recolored copy: share of places whose counterpart is
  found within 5 % of the side, 0..1.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from pipelines import load_pipeline
from pipelines.hub.allocator import tune_allocator
from pipelines.images.formats import read_image, resize
from pipelines.oeft.augmentation import geometric, photometric
from pipelines.oeft.settings import OEFTSettings

WAYS = {"pretrained": {"num_steps": 0}, "fine-tuned": {}, "no augmentation": {"augment": False}}
TILE = 256
STRONG = OEFTSettings(color_jitter=0.4, rotation=25.0, scale=0.3, translation=0.1)


def main() -> None:
    """Measure all pairs, print a table, write the sheet and the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some of the pairs")
    parser.add_argument("--output", type=Path, default=Path("outputs/oeft_quality.png"))
    parser.add_argument("--checkpoint", default="oeft-starter")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    tune_allocator()
    pipe = load_pipeline(arguments.checkpoint)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)

    rows, lines = [], []
    for source_path in sorted(arguments.pairs.glob("*_source.*")):
        name = source_path.stem.removesuffix("_source")
        if arguments.only and name not in arguments.only:
            continue
        source = read_image(source_path)
        exemplar = read_image(next(arguments.pairs.glob(f"{name}_target.*")))
        tiles, numbers = [source.pixels, exemplar.pixels], {}
        for way, changes in WAYS.items():
            settings = OEFTSettings.preset(arguments.preset, **changes)
            result = fine_tuned(pipe, source.pixels, exemplar.pixels, settings, arguments.seed).result("pt").images[0]
            result = result * 2 - 1
            tiles.append(result)
            numbers[way] = {
                "edges": edge_correlation(source.pixels, result),
                "colors": color_distance(exemplar.pixels, result),
                "truth": found_truth(pipe, source.pixels, settings, arguments.seed),
            }
            print(f"{name:22} {way:16}", *(f"{key} {value:7.3f}" for key, value in numbers[way].items()), flush=True)
        rows.append(labeled_row(tiles, [name, "exemplar", *WAYS]))
        lines.append({"pair": name, "preset": arguments.preset, "checkpoint": arguments.checkpoint, **numbers})
        sheet(rows).save(arguments.output)
    arguments.output.with_suffix(".jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    summarize(lines)


def fine_tuned(pipe, source: Tensor, exemplar: Tensor, settings: OEFTSettings, seed: int):
    """A run that is done; pictures (3, H, W) in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    run = pipe.start((source + 1) / 2, (exemplar + 1) / 2, settings=settings, generator=generator)
    while not run.done:
        run.step()
    return run


def edge_correlation(source: Tensor, result: Tensor) -> float:
    """Correlation of edge strengths at 128 pixels."""
    strengths = []
    for picture in (source, result):
        grey = resize(picture, (128, 128)).mean(dim=0)
        strengths.append((grey.diff(dim=0)[:, 1:].square() + grey.diff(dim=1)[1:].square()).sqrt().flatten())
    return float(torch.corrcoef(torch.stack(strengths))[0, 1])


def color_distance(exemplar: Tensor, result: Tensor) -> float:
    """Mean over directions of color space of the one-dimensional Wasserstein distance."""
    directions = F.normalize(torch.randn(32, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    projected = [
        (directions @ resize(picture, (128, 128)).flatten(1)).sort(dim=1).values for picture in (exemplar, result)
    ]
    return float((projected[0] - projected[1]).abs().mean() * 127.5)


def found_truth(pipe, source: Tensor, settings: OEFTSettings, seed: int) -> float:
    """Share of places of the source that are found again in a copy that was moved and recolored by a known map."""
    picture = resize(source, (256, 256))[None]
    axis = (torch.arange(256) + 0.5) / 128 - 1
    places = torch.stack(torch.meshgrid(axis, axis, indexing="xy"))[None]  # (1, 2, 256, 256): x, y in [-1, 1]
    moved = geometric(torch.cat([picture, places], dim=1), STRONG, torch.Generator().manual_seed(seed))
    copy = photometric(moved[:, :3], STRONG, torch.Generator().manual_seed(seed))

    run = fine_tuned(pipe, picture[0], copy[0], settings, seed)
    descriptors = run.result().lookups[0].descriptors
    grid = descriptors.query_grid
    query, key = descriptors.query[0].float(), descriptors.key[0].float()
    best = torch.cat([(rows @ key.T).argmax(dim=1) for rows in query.split(1024)])
    origin = resize(moved[0, 3:], descriptors.key_grid).flatten(1)[:, best]  # where the match came from
    wanted = resize(places[0], grid).flatten(1)
    visible = visible_places(moved[0, 3:], grid)
    error = (origin - wanted).square().sum(dim=0).sqrt() / 2  # in sides of the picture
    return float((error[visible] < 0.05).float().mean())


def visible_places(origins: Tensor, grid: tuple[int, int]) -> Tensor:
    """Which places of the source are in the moved copy at all."""
    seen = torch.zeros(grid, dtype=torch.bool)
    column, row = ((origins.flatten(1) + 1) / 2 * torch.tensor([[grid[1]], [grid[0]]])).long().clamp(min=0)
    seen[row.clamp(max=grid[0] - 1), column.clamp(max=grid[1] - 1)] = True
    return seen.flatten()


def labeled_row(tiles: list[Tensor], labels: list[str]) -> Image.Image:
    """Pictures next to each other, a word over each."""
    row = Image.new("RGB", (TILE * len(tiles), TILE + 16), "white")
    for index, (tile, label) in enumerate(zip(tiles, labels, strict=True)):
        pixels = (resize(tile, (TILE, TILE)) * 127.5 + 127.5).clamp(0, 255).byte().permute(1, 2, 0).numpy()
        row.paste(Image.fromarray(pixels), (TILE * index, 16))
        ImageDraw.Draw(row).text((TILE * index + 3, 2), label, fill="black")
    return row


def sheet(rows: list[Image.Image]) -> Image.Image:
    """Rows under each other."""
    whole = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)))
    for index, row in enumerate(rows):
        whole.paste(row, (0, index * row.height))
    return whole


def summarize(lines: list[dict]) -> None:
    """Means, and how often fine-tuning is better than the pretrained features."""
    sign = {"edges": 1, "colors": -1, "truth": 1}
    for way in WAYS:
        means = {key: sum(line[way][key] for line in lines) / len(lines) for key in sign}
        better = {
            key: sum(line[way][key] * s > line["pretrained"][key] * s for line in lines) for key, s in sign.items()
        }
        print(f"{way:16}", *(f"{key} {means[key]:7.3f} (better {better[key]}/{len(lines)})" for key in sign))


if __name__ == "__main__":
    main()
