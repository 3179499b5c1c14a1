"""What refinement makes of real warps: OEFT's table 2, and a sheet to look at.

    python benchmarks/refinement.py CHECKPOINT PICTURES --output sheet.png [--count 16]

The checkpoint has a prior with statistics of its domain (`add-prior` measures them), which decide among hypotheses.
Neighbors in a folder of pictures that the prior has not seen are source and exemplar of a pair. Each is warped, and
the warp refined in several ways. What the right result is nobody knows; two numbers say what a way gives:

- kernel distance (KID x 1000, starter backbone) to other pictures of the domain: does it look like one of them?
- color: root mean squared difference to the warp at 8 x 8 pixels, range [0, 2]: did the exemplar's colors stay?
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from torch import Tensor

from benchmarks.inversion_quality import AT_FULL_SIZE, at_prior, interval, pooled
from benchmarks.oeft_quality import labeled_row, sheet
from pipelines import load_pipeline
from pipelines.hub.allocator import tune_allocator
from pipelines.images.formats import read_image
from pipelines.metrics.kid import kid
from pipelines.oeft.chosen_settings import choose_inversion_settings
from pipelines.oeft.degradations import area_to
from pipelines.oeft.priors import prior_of
from pipelines.oeft.refinement import Refiner

SINGLE, FIXED = (2, 1), (4, 10)  # layer and codes
COLOR_SIZE = (8, 8)


def main() -> None:
    """Refine all pairs in all ways, write the sheet, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("pictures", type=Path, help="folder of pictures that the prior has not seen")
    parser.add_argument("--count", type=int, default=16, help="pairs; the pictures behind them are the domain's")
    parser.add_argument("--preset", default="fast", help="of the warp")
    parser.add_argument("--output", type=Path, default=Path("outputs/refinement.png"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    tune_allocator()
    pipe = load_pipeline(arguments.checkpoint)
    pipe.set_progress_bar_config(disable=True)
    if pipe.prior is None or pipe.domain is None:
        parser.error(f"{arguments.checkpoint} has no prior with statistics of its domain")
    pipe.backbone.requires_grad_(False)
    pipe.prior.requires_grad_(False)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    files = sorted(arguments.pictures.iterdir())
    needed = 3 * arguments.count + 2  # pairs, as many other pictures, and two at least of the domain
    if arguments.count < 1 or len(files) < needed:
        parser.error(f"{arguments.pictures} holds {len(files)} pictures; --count {arguments.count} needs {needed}")
    results: dict[str, list[Tensor]] = {}
    rows = []
    for number, (source, exemplar) in enumerate(zip(files[::2], files[1::2], strict=False)):
        if number == arguments.count:
            break
        pictures = refine(pipe, source, exemplar, arguments.preset, arguments.seed + number)
        for name, picture in pictures.items():
            results.setdefault(name, []).append(picture)
        rows.append(labeled_row([read(source), read(exemplar), *pictures.values()], ["source", "exemplar", *pictures]))
        sheet(rows).save(arguments.output)
        print(f"{number + 1} of {arguments.count}", flush=True)
    report(pipe, results, torch.stack([at_prior(pipe, read(path)) for path in files[2 * arguments.count :]]))


def read(path: Path) -> Tensor:
    """(3, H, W) in [-1, 1]."""
    return read_image(path).pixels


def refine(pipe, source: Path, exemplar: Path, preset: str, seed: int) -> dict[str, Tensor]:
    """The warp of a pair and what every way makes of it, (3, R, R) in [-1, 1] each, by name."""
    warp = pipe(
        source,
        exemplar,
        preset=preset,
        refine=False,
        generator=torch.Generator().manual_seed(seed),
        output_type="pt",
    ).warped

    def run(**changes):
        settings = choose_inversion_settings(pipe.config["refine_settings"], None, {"drop_ratio": 0, **changes})
        refiner = Refiner(prior_of(pipe.prior), pipe.backbone, pipe.domain, settings)
        refinement = refiner.begin_with_warp(2 * warp - 1, read(source)[None], torch.Generator().manual_seed(seed))
        while not refinement.done:
            refinement.step()
        return refinement.candidates()

    # All hypotheses begin from the same nearest draws (`num_draws` is above 0) and none is dropped, so they do not
    # depend on those beside them: one run serves several ways.
    defaults = choose_inversion_settings(pipe.config["refine_settings"], None, None)
    own = [pair for pair in defaults.hypotheses if pair[0] in prior_of(pipe.prior).layers]
    full, plain = run(hypotheses=[SINGLE, (6, 30)], **AT_FULL_SIZE), run(lambda_structure=0.0)
    whole = run(hypotheses=list(dict.fromkeys([SINGLE, FIXED, *own])))
    found = {(each.layer, each.num_codes): each for each in whole}
    several = [found[pair] for pair in own]
    pictures = {
        "warp": 2 * warp - 1,
        "full size, single code": full[0].pixels,
        "full size, 30 codes": full[1].pixels,
        "no structure, Frechet": min(plain, key=lambda each: each.score).pixels,
        "single code": found[SINGLE].pixels,
        "fixed": found[FIXED].pixels,
        "lowest loss": min(several, key=lambda each: each.loss).pixels,
        "Frechet decides": min(several, key=lambda each: each.score).pixels,
    }
    return {name: at_prior(pipe, picture[0]) for name, picture in pictures.items()}


def report(pipe, results: dict[str, list[Tensor]], others: Tensor) -> None:
    """Print both numbers of every way, and of as many other pictures of the domain."""
    count = len(results["warp"])
    real, small = pooled(pipe, others[count:]), area_to(COLOR_SIZE)
    warps = small(torch.stack(results["warp"]))
    for name, pictures in {**results, "other pictures": list(others[:count])}.items():
        images = torch.stack(pictures)
        color = (small(images) - warps).square().mean(dim=(1, 2, 3)).sqrt()
        print(f"{name:24} KID x 1000 {1000 * kid(real, pooled(pipe, images))[0]:7.2f}   color {interval(color)}")


if __name__ == "__main__":
    main()
