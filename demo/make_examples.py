"""Make the examples of the Exemplar and the Single-image tab again: `python -m demo.make_examples`.

Those of the Exemplar tab take a few minutes on a CPU, one of the Single-image tab trains for `--minutes`.
It needs scikit-image, scikit-learn, matplotlib and gradio, whose own pictures it uses: see `demo/examples/SOURCES.md`.
"""

import argparse
import time
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

from demo.examples import FOLDER, SINGLE
from demo.landscapes import at_dusk, by_day
from demo.lookup import GridLookup
from demo.painting import paint
from demo.single_run import OVERTIME
from pipelines import OEFTPipeline, SinCUTPipeline
from pipelines.hub.devices import pick_device, tune_allocator
from pipelines.images.formats import ReadImage, read_image
from pipelines.images.provenance import make_record, save_png
from pipelines.oeft.output import OEFTOutput
from pipelines.oeft.settings import PRESETS
from pipelines.sincut.output import SinCUTOutput

CELLS = 48  # a click on an example is answered to 1/48 of its side
AREA = 400**2  # pixels of an example's picture, at most
QUALITY = 92  # of the Exemplar tab's JPEGs
QUALITY_SINGLE = 85  # of the Single-image tab's, which have much detail
SEED = 0
PARTS = ("source.jpg", "exemplar.jpg")

Maker = Callable[[], Image.Image]
Makers = tuple[Maker, Maker]


def package_picture(package, path: str, box: tuple[int, int, int, int] | None = None) -> Maker:
    """Return a maker of a picture that comes inside a package, cut to `box` (left, top, right, bottom)."""
    return lambda: Image.open(Path(package.__file__).parent / path).convert("RGB").crop(box)


PAIRS: dict[str, Makers] = {
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


SINGLE_PAIRS: dict[str, Makers] = {
    "1-painting": (PAIRS["1-pagoda"][0], lambda: paint(PAIRS["1-pagoda"][1]())),
}


def store(folder: Path, makers: Makers, quality: int) -> list[ReadImage]:
    """Write the two pictures of an example; return them as they are read again, under the names of their files."""
    folder.mkdir(parents=True, exist_ok=True)
    pair = []
    for part, maker in zip(PARTS, makers, strict=True):
        picture = maker()
        scale = min(1.0, (AREA / (picture.width * picture.height)) ** 0.5)
        picture = picture.resize(
            (round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS
        )
        picture.save(folder / part, quality=quality)
        pair.append(replace(read_image(folder / part), path=Path(part)))
    return pair


def make(pipe: OEFTPipeline, name: str, num_steps: int | None) -> None:
    """Make the files of one example of the Exemplar tab."""
    folder = FOLDER / name
    pair = store(folder, PAIRS[name], QUALITY)
    preset = pipe.config["preset"]
    arguments = {"preset": preset, "num_steps": PRESETS[preset].num_steps if num_steps is None else num_steps}
    source, exemplar = (folder / part for part in PARTS)
    generator = torch.Generator().manual_seed(SEED)
    output = cast(OEFTOutput, pipe(source, exemplar, **arguments, generator=generator))
    record = make_record(pipe, inputs={"image": pair[:1], "exemplar": pair[1:]}, arguments=arguments, seed=SEED)
    save_png(cast(Image.Image, output.images[0]), folder / "result.png", record)
    size, exemplar_size = ((image.width, image.height) for image in pair)
    GridLookup.of(output.lookups[0], size, exemplar_size, CELLS).save(folder / "answers.npz")


def make_single(pipe: SinCUTPipeline, name: str, minutes: float) -> None:
    """Make the files of one example of the Single-image tab; its record says how long the training took.

    As in the app it ends a little after its time at the latest, also where the machine has become slower meanwhile.
    """
    folder = SINGLE / name
    pair = store(folder, SINGLE_PAIRS[name], QUALITY_SINGLE)
    source, exemplar = (folder / part for part in PARTS)
    end = time.monotonic() + OVERTIME * 60 * minutes
    output = pipe(
        source,
        exemplar,
        minutes=minutes,
        generator=torch.Generator().manual_seed(SEED),
        callback_on_step_end=lambda *step: {"stop": time.monotonic() >= end},
    )
    output = cast(SinCUTOutput, output)
    inputs = {"image": pair[:1], "exemplar": pair[1:]}
    record = make_record(pipe, inputs=inputs, arguments=output.arguments, seed=SEED, notes=output.notes[0])
    save_png(cast(Image.Image, output.images[0]), folder / "result.png", record)


def main() -> None:
    """Make all examples, or those that are named."""
    single = {f"{SINGLE.name}/{name}": name for name in SINGLE_PAIRS}
    names = [*PAIRS, *single]
    parser = argparse.ArgumentParser(description="Make the examples of the Exemplar and the Single-image tab again.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(names)} (default: all)")
    parser.add_argument("--checkpoint", default="oeft-starter", help="of the Exemplar tab's (default: oeft-starter)")
    parser.add_argument("--num-steps", type=int, help="steps of the Exemplar tab's (default: the preset's)")
    parser.add_argument("--minutes", type=float, default=20, help="of the Single-image tab's training (default: 20)")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in names]:
        parser.error(f"there is no example {unknown[0]!r}; there are {', '.join(names)}")
    for name in options.names or names:
        if name in single:
            make_single(SinCUTPipeline.from_pretrained("sincut").to(pick_device()), single[name], options.minutes)
        else:
            make(OEFTPipeline.from_pretrained(options.checkpoint).to(pick_device()), name, options.num_steps)
        print(f"{name} is made")


if __name__ == "__main__":
    tune_allocator()
    main()
