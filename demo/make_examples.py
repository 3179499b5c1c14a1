"""Make the examples of the Exemplar tab again: `python -m demo.make_examples`, a few minutes on a CPU.

It needs scikit-image, scikit-learn, matplotlib and gradio, whose own pictures it uses: see `demo/examples/SOURCES.md`.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import gradio
import matplotlib
import skimage
import sklearn
import torch
from PIL import Image

from demo.examples import FOLDER
from demo.landscapes import at_dusk, by_day
from demo.lookup import GridLookup
from pipelines import OEFTPipeline
from pipelines.hub.devices import pick_device, tune_allocator
from pipelines.images.formats import read_image
from pipelines.images.provenance import make_record, save_png
from pipelines.oeft.output import OEFTOutput
from pipelines.oeft.settings import PRESETS

CELLS = 48  # a click on an example is answered to 1/48 of its side
AREA = 400**2  # pixels of an example's picture, at most
SEED = 0

Maker = Callable[[], Image.Image]


def package_picture(package, path: str, box: tuple[int, int, int, int] | None = None) -> Maker:
    """Return a maker of a picture that comes inside a package, cut to `box` (left, top, right, bottom)."""
    return lambda: Image.open(Path(package.__file__).parent / path).convert("RGB").crop(box)


PAIRS: dict[str, tuple[Maker, Maker]] = {
    "1-pagoda": (
        package_picture(sklearn, "datasets/images/china.jpg", (0, 0, 480, 427)),
        package_picture(gradio, "media_assets/images/tower.jpg", (0, 100, 377, 600)),
    ),
    "2-dusk": (by_day, at_dusk),
    "3-faces": (
        package_picture(skimage, "data/astronaut.png", (110, 0, 350, 250)),
        package_picture(matplotlib, "mpl-data/sample_data/grace_hopper.jpg", (90, 20, 430, 390)),
    ),
}


def make(pipe: OEFTPipeline, name: str, num_steps: int | None) -> None:
    """Make one example's files."""
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    pair = []
    for part, maker in zip(("source", "exemplar"), PAIRS[name], strict=True):
        picture = maker()
        scale = min(1.0, (AREA / (picture.width * picture.height)) ** 0.5)
        picture = picture.resize(
            (round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS
        )
        picture.save(folder / f"{part}.jpg", quality=92)
        pair.append(replace(read_image(folder / f"{part}.jpg"), path=Path(f"{part}.jpg")))
    preset = pipe.config["preset"]
    arguments = {"preset": preset, "num_steps": PRESETS[preset].num_steps if num_steps is None else num_steps}
    generator = torch.Generator().manual_seed(SEED)
    files = (str(folder / "source.jpg"), str(folder / "exemplar.jpg"))
    output = cast(OEFTOutput, pipe(*files, **arguments, generator=generator))
    record = make_record(pipe, inputs={"image": pair[:1], "exemplar": pair[1:]}, arguments=arguments, seed=SEED)
    save_png(cast(Image.Image, output.images[0]), folder / "result.png", record)
    size, exemplar_size = ((image.width, image.height) for image in pair)
    GridLookup.of(output.lookups[0], size, exemplar_size, CELLS).save(folder / "answers.npz")


def main() -> None:
    """Make all examples, or those that are named."""
    parser = argparse.ArgumentParser(description="Make the examples of the Exemplar tab again.")
    parser.add_argument("names", nargs="*", default=list(PAIRS), help=f"some of {', '.join(PAIRS)}")
    parser.add_argument("--checkpoint", default="oeft-starter", help="checkpoint id (default: oeft-starter)")
    parser.add_argument("--num-steps", type=int, help="steps (default: the preset's)")
    options = parser.parse_args()
    pipe = OEFTPipeline.from_pretrained(options.checkpoint).to(pick_device())
    for name in options.names:
        make(pipe, name, options.num_steps)
        print(f"{name} is made")


if __name__ == "__main__":
    tune_allocator()
    main()
