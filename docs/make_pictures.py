"""Make the four strips of README again: `python -m docs.make_pictures`, all of them or those that are named.

Each shows what a checkpoint of this repository makes of pictures that come inside gradio, or of the app's examples
(`demo/examples/SOURCES.md`).
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import gradio
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps

from demo.examples import FOLDER, SINGLE, Example
from pipelines import CUTPipeline, DeepI2IPipeline
from pipelines.hub.devices import pick_device, tune_allocator
from pipelines.hub.registry import get_checkpoint

WIDTH, GAP, LABEL = 1000, 8, 26  # pixels: of a strip, between its tiles, of the line under a tile
PHOTOS = Path(gradio.__file__).parent / "media_assets" / "images"
CHOICE = {
    "deepi2i-animals": ("tuxedo cat", "ginger cat", "black cat", "white cat", "grey tabby cat", "bicolor cat"),
    "deepi2i-foods": (
        "apple granny smith", "apple golden 1", "apple red 1", "tomato yellow", "tomato maroon 1", "cherry wax black",
    ),
}  # classes that are shown  # fmt: skip
COUNT = 6  # classes that are shown of another checkpoint

Tiles = list[tuple[str, Image.Image]]


def exemplar(options: argparse.Namespace) -> Tiles:
    """The app's first example, which `demo.make_examples` computes."""
    labels = ("Source", "Exemplar", "Result: the exemplar's colors")
    return list(zip(labels, map(Image.open, Example.read(FOLDER / "1-pagoda").files), strict=True))


def unpaired(options: argparse.Namespace) -> Tiles:
    """Photographs of other animals than those that the checkpoint has seen."""
    pipe = CUTPipeline.from_pretrained(options.unpaired_checkpoint).to(pick_device())
    photos = [Image.open(PHOTOS / "cheetah.jpg").crop((58, 0, 401, 343)), Image.open(PHOTOS / "lion.jpg")]
    label = get_checkpoint(options.unpaired_checkpoint).title
    pairs = zip(photos, pipe(photos).images, strict=True)
    return [tile for photo, result in pairs for tile in (("Photo", photo), (label, result))]


def many_class(options: argparse.Namespace) -> Tiles:
    """One photograph as several classes."""
    pipe = DeepI2IPipeline.from_pretrained(options.many_class_checkpoint).to(pick_device())
    evenly = pipe.class_names[:: max(1, len(pipe.class_names) // COUNT)][:COUNT]
    classes = options.classes or CHOICE.get(options.many_class_checkpoint, evenly)
    photo = ImageOps.fit(Image.open(options.photo), (256, 256), Image.Resampling.LANCZOS)
    output = pipe(photo, classes, generator=torch.Generator().manual_seed(0))
    titles = (pipe.class_titles[number] for number in output.class_ids)
    return [("Photo", photo), *zip(titles, output.images, strict=True)]


def single_image(options: argparse.Namespace) -> Tiles:
    """The app's example, a photograph as a painting, which `demo.make_examples` trains on the two pictures alone."""
    example = Example.read(SINGLE / "1-painting")
    labels = ("Photo", "Painting", example.record["notes"][0])
    return list(zip(labels, map(Image.open, example.files), strict=True))


STRIPS: dict[str, Callable[[argparse.Namespace], Tiles]] = {
    "exemplar": exemplar,
    "unpaired": unpaired,
    "many-class": many_class,
    "single-image": single_image,
}


def strip(tiles: Tiles) -> Image.Image:
    """Lay squares beside each other, each with its label below."""
    side = (WIDTH + GAP) // len(tiles) - GAP
    font = ImageFont.load_default(15)
    picture = Image.new("RGB", (len(tiles) * (side + GAP) - GAP, side + LABEL), "white")
    draw = ImageDraw.Draw(picture)
    for number, (label, image) in enumerate(tiles):
        left = number * (side + GAP)
        picture.paste(ImageOps.fit(image.convert("RGB"), (side, side), Image.Resampling.LANCZOS), (left, 0))
        draw.text((left + side / 2, side + LABEL / 2), label, fill="#57534e", font=font, anchor="mm")
    return picture


def main() -> None:
    """Make the strips."""
    parser = argparse.ArgumentParser(description="Make the four strips of README again.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(STRIPS)} (default: all)")
    parser.add_argument("--unpaired-checkpoint", default="cut-horse2zebra", metavar="ID")
    parser.add_argument("--many-class-checkpoint", default="deepi2i-animals", metavar="ID")
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="of the many-class strip (default: a choice)")
    parser.add_argument("--photo", type=Path, default=FOLDER / "classes" / "cat.jpg", help="of the many-class strip")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder (default: this one)")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in STRIPS]:
        parser.error(f"there is no strip {unknown[0]!r}; there are {', '.join(STRIPS)}")
    for name in options.names or STRIPS:
        strip(STRIPS[name](options)).save(options.output / f"{name}.jpg", quality=88)
        print(f"{name}.jpg is made")


if __name__ == "__main__":
    tune_allocator()
    main()
