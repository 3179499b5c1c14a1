"""Make the sheet of a checkpoint's classes: `python -m demo.make_class_thumbnails CHECKPOINT --image PHOTO`.

Every thumbnail is the photo as the checkpoint redraws it for that class, so nobody's pictures are published.
"""

import argparse
from pathlib import Path

import torch

from demo.classes_thumbnails import join
from pipelines import load_pipeline
from pipelines.hub.devices import pick_device, tune_allocator


def main() -> None:
    """Translate the photo to all classes and write the sheet."""
    parser = argparse.ArgumentParser(description="Make the sheet of a checkpoint's classes.")
    parser.add_argument("checkpoint", help="checkpoint id, folder, or Hub id")
    parser.add_argument("--image", type=Path, required=True, metavar="PHOTO", help="what the classes are drawn from")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the sheet, a .jpg")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    pipe = load_pipeline(options.checkpoint).to(pick_device())
    output = pipe(str(options.image), "all", generator=torch.Generator().manual_seed(options.seed))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    join(output.images).save(options.output, quality=90)
    print(f"{options.output}: {len(output.images)} classes")


if __name__ == "__main__":
    tune_allocator()
    main()
