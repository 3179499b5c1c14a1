"""Does self-deciding mean anything, and what does a refinement give? Pairs of which the right result is known.

    python benchmarks/inversion_quality.py CHECKPOINT PICTURES --output sheet.png [--count 20]

The source is a picture of the domain, the exemplar the same picture turned, scaled, shifted and recolored by its own
random map: the right result has the source's places in the exemplar's colors, which is the source recolored alike. The
exemplar is warped by OEFT, and the warp refined under many hypotheses.

- truth: perceptual distance of a hypothesis to the right result at the prior's resolution: all layers of the backbone,
  unit features, mean squared difference. Lower is better.
- rank correlation (Spearman) of each score with the truth, over the hypotheses of a pair; mean over pairs with a
  bootstrap interval of 95 %. 1: the score orders hypotheses as the truth does. 0: it says nothing.
- regret: how much worse than the best hypothesis the chosen one is, as a share of the spread between the best and the
  mean, which is what choosing at random gives: 0 is the best choice, 1 is chance.
- kernel distance (KID, starter backbone) of what each way of refining gives to other pictures of the domain.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.oeft_quality import labeled_row, sheet
from pipelines import load_pipeline
from pipelines.hub.allocator import tune_allocator
from pipelines.images.formats import read_image
from pipelines.images.geometry import resize
from pipelines.metrics.kid import kid
from pipelines.oeft.augmentation import geometric, photometric
from pipelines.oeft.degradations import area_to
from pipelines.oeft.settings import OEFTSettings

HYPOTHESES = [[layer, codes] for layer in (2, 4, 6) for codes in (1, 10, 30)]
FIXED = (6, 30)  # mGANprior's default
# Warps are compared pixel by pixel, whatever suits the checkpoint: these are hardly torn.
AT_FULL_SIZE = {"compare_size": None, "lambda_perceptual": 0.1, "lambda_structure": 0.0}
CHANGES = OEFTSettings(color_jitter=0.15, rotation=20.0, scale=0.2, translation=0.1, noise=0.0)
SCORES = ("score", "loss")  # the Frechet distance to the domain, and eq. 12 itself
SHOWN = 8  # rows of the sheet


def main() -> None:
    """Refine all pairs, print the tables, write the sheet and the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("pictures", type=Path, help="folder of pictures that the prior has not seen")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--steps", type=int, default=150, help="of every hypothesis")
    parser.add_argument("--preset", default="balanced", help="of the warp")
    parser.add_argument("--output", type=Path, default=Path("outputs/inversion_quality.png"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    tune_allocator()
    pipe = load_pipeline(arguments.checkpoint)
    pipe.set_progress_bar_config(disable=True)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    files = sorted(arguments.pictures.iterdir())
    pairs, rows = [], []
    for number, path in enumerate(files[: arguments.count]):
        pair, row = refine(pipe, read_image(path).pixels, arguments, arguments.seed + number)
        pairs.append(pair)
        rows.append(row)
        sheet(rows[:SHOWN]).save(arguments.output)
        print(path.name, f"chosen {pair['chosen']}", *(f"{value:.3f}" for value in pair["truth"]), flush=True)
    others = torch.stack([at_prior(pipe, read_image(path).pixels) for path in files[arguments.count :]])
    arguments.output.with_suffix(".json").write_text(
        json.dumps([{name: value for name, value in pair.items() if name != "images"} for pair in pairs])
    )
    report_choice(pairs)
    report_ways(pipe, pairs, others)


def refine(pipe, source: Tensor, arguments: argparse.Namespace, seed: int) -> tuple[dict, object]:
    """One pair: the truth and the scores of every hypothesis, and a row of the sheet."""
    copy = photometric(source[None], CHANGES, torch.Generator().manual_seed(seed))
    exemplar = geometric(copy, CHANGES, torch.Generator().manual_seed(seed))
    output = pipe(
        (source + 1) / 2,
        (exemplar + 1) / 2,
        refine_settings={**AT_FULL_SIZE, "hypotheses": HYPOTHESES, "num_steps": arguments.steps, "drop_ratio": 0},
        preset=arguments.preset,
        generator=torch.Generator().manual_seed(seed),
        output_type="pt",
    )
    right = at_prior(pipe, copy[0])
    images = torch.stack([at_prior(pipe, each.image * 2 - 1) for each in output.hypotheses[0]])
    warp = at_prior(pipe, output.warped[0] * 2 - 1)
    scores = {name: [getattr(each, name) for each in output.hypotheses[0]] for name in SCORES}
    chosen = int(torch.tensor(scores["score"]).argmin())
    pair = {
        "truth": distances(pipe, images, right),
        "warp": distances(pipe, warp[None], right)[0],
        "scores": scores,
        "chosen": chosen,
        "images": {"warp": warp, "hypotheses": images, "right": right},
    }
    fixed = HYPOTHESES.index(list(FIXED))
    best = int(torch.tensor(pair["truth"]).argmin())
    tiles = [source, exemplar[0], copy[0], warp, images[0], images[fixed], images[chosen], images[best]]
    labels = ["source", "exemplar", "right", "warp", "one code", "fixed"]
    labels += [f"chosen {HYPOTHESES[chosen]}", f"best {HYPOTHESES[best]}"]
    return pair, labeled_row(tiles, labels)


def at_prior(pipe, picture: Tensor) -> Tensor:
    """(3, H, W) in [-1, 1] at the prior's resolution."""
    side = pipe.prior.config["resolution"]
    return area_to((side, side))(picture[None])[0]


@torch.no_grad()
def distances(pipe, images: Tensor, right: Tensor) -> list[float]:
    """Perceptual distances of pictures (B, 3, R, R) to one (3, R, R)."""
    size = (128, 128)
    found, wanted = (pipe.backbone(resize(each, size)) for each in (images, right[None]))
    total = torch.zeros(len(images))
    for tap in found:
        difference = F.normalize(found[tap], dim=1) - F.normalize(wanted[tap], dim=1)
        total += difference.square().sum(dim=1).mean(dim=(1, 2))
    return (total / len(found)).tolist()


def report_choice(pairs: list[dict]) -> None:
    """Print what the scores say about the truth."""
    truth = torch.tensor([pair["truth"] for pair in pairs])
    print(f"\n{len(pairs)} pairs, {truth.shape[1]} hypotheses each")
    for name in SCORES:
        scores = torch.tensor([pair["scores"][name] for pair in pairs])
        correlation = spearman(scores, truth)
        chosen = truth.gather(1, scores.argmin(dim=1, keepdim=True))[:, 0]
        best, chance = truth.min(dim=1).values, truth.mean(dim=1)
        regret = (chosen - best) / (chance - best)
        print(f"{name:8} rank correlation {interval(correlation)}   regret {interval(regret)}")


def report_ways(pipe, pairs: list[dict], others: Tensor) -> None:
    """Print truth and kernel distance of the warp and of three ways to refine it (OEFT table 2)."""
    fixed = HYPOTHESES.index(list(FIXED))
    ways = {
        "warp": [pair["images"]["warp"] for pair in pairs],
        "single code, layer 2": [pair["images"]["hypotheses"][0] for pair in pairs],
        "multi-code, fixed": [pair["images"]["hypotheses"][fixed] for pair in pairs],
        "self-deciding": [pair["images"]["hypotheses"][pair["chosen"]] for pair in pairs],
        "right results": [pair["images"]["right"] for pair in pairs],
    }
    real = pooled(pipe, others)
    for name, images in ways.items():
        right = (pair["images"]["right"] for pair in pairs)
        value = torch.tensor(
            [distances(pipe, each[None], wanted)[0] for each, wanted in zip(images, right, strict=True)]
        )
        far = kid(real, pooled(pipe, torch.stack(images)))[0]
        print(f"{name:22} truth {interval(value)}   KID x 1000 {1000 * far:7.2f}")


@torch.no_grad()
def pooled(pipe, images: Tensor) -> Tensor:
    """(N, C): means of the deepest features."""
    tap = pipe.backbone.taps[-1]
    maps = (pipe.backbone(resize(batch, (128, 128)), taps=(tap,))[tap] for batch in images.split(50))
    return torch.cat([each.mean(dim=(2, 3)) for each in maps])


def spearman(scores: Tensor, truth: Tensor) -> Tensor:
    """Rank correlation of the rows of two tables, (N, H) each: (N,)."""
    ranks = [table.argsort(dim=1).argsort(dim=1).float() for table in (scores, truth)]
    centered = [table - table.mean(dim=1, keepdim=True) for table in ranks]
    return F.cosine_similarity(*centered, dim=1)


def interval(values: Tensor) -> str:
    """The mean, and where 95 of 100 bootstrap means lie."""
    draws = torch.randint(len(values), (2000, len(values)), generator=torch.Generator().manual_seed(0))
    low, high = values[draws].mean(dim=1).quantile(torch.tensor([0.025, 0.975])).tolist()
    return f"{values.mean():6.3f} [{low:6.3f}, {high:6.3f}]"


if __name__ == "__main__":
    main()
