"""Sort aligned cat faces by coat, as classes for `train biggan`: `python recipes/cat_coats.py PHOTOS SPLIT OUTPUT`.

PHOTOS holds aligned cat faces (AFHQ); SPLIT is the split.json of the run that trained a prior on them. Their colors
over a grid on the face are clustered by k-means; the clusters, from dark to light, were looked at and named.
OUTPUT/train gets the photographs that the prior was trained on, OUTPUT/test those that it never saw. A quarter, those
between two coats, is left out.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

COATS = ("black", "tuxedo", "dark-tabby", "grey-tabby", "brown-tabby", "bicolor", "ginger", "cream", "white")


def face_colors(path: Path) -> np.ndarray:
    """Mean lightness and opponent colors of 6 x 4 places on the face; colors weigh more than light does."""
    pixels = np.asarray(Image.open(path).convert("RGB").resize((32, 32), Image.Resampling.BOX), float)
    red, green, blue = np.moveaxis(pixels, -1, 0)
    light = 0.299 * red + 0.587 * green + 0.114 * blue
    opponent = np.stack([light, 2.5 * (red - green), 1.5 * (0.5 * (red + green) - blue)], -1)
    return opponent[6:30, 6:26].reshape(6, 4, 5, 4, 3).mean((1, 3)).ravel()


def cluster(points: np.ndarray, count: int, tries: int = 10, rounds: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """k-means, seed 0, the best of some tries.

    Returns:
        The cluster of each point, from dark to light, and its distance from the center, divided by that from the next.
    """
    random, best, best_cost = np.random.default_rng(0), None, np.inf
    for _ in range(tries):
        centers = points[random.choice(len(points), count, replace=False)]
        for _ in range(rounds):
            distances = ((points[:, None] - centers) ** 2).sum(-1)
            nearest = distances.argmin(1)
            members = [points[nearest == number] for number in range(count)]
            centers = np.stack([own.mean(0) if len(own) else old for own, old in zip(members, centers, strict=True)])
        if (cost := distances.min(1).sum()) < best_cost:
            rank = centers.reshape(count, -1, 3)[..., 0].mean(1).argsort().argsort()
            first, second = np.sqrt(np.sort(distances, 1)[:, :2].T)
            best, best_cost = (rank[nearest], first / second), cost
    return best


def main(photos: Path, split: Path, output: Path) -> None:
    """Copy the photographs into a folder for each coat."""
    files = sorted(photos.iterdir())
    held_out = {Path(name).name for name in json.loads(split.read_text())["held_out"]}
    coats, doubt = cluster(np.stack([face_colors(path) for path in files]), len(COATS))
    most = np.quantile(doubt, 0.75)
    for path, coat, own_doubt in zip(files, coats, doubt, strict=True):
        if own_doubt > most:
            continue
        folder = output / ("test" if path.name in held_out else "train") / f"{COATS[coat]}-cat"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
