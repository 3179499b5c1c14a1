"""`python -m pipelines translate`: translate images with a checkpoint, or repeat a saved PNG."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.commands import UsageError

PASSED_ON = (
    "num_steps",
    "preset",
    "refine",
    "num_refine_steps",
    "size",
    "precision",
    "max_pixels",
    "compile",
    "target_class",
    "num_images_per_class",
    "num_images",
    "truncation",
    "strength",
    "crop",
)  # to the pipeline, when they are given


def add_parser(subparsers) -> None:
    """Add the arguments of `translate`."""
    parser = subparsers.add_parser(
        "translate",
        help="translate images with a checkpoint, or repeat a saved PNG",
        description="Translate images with a checkpoint. Every PNG that is written says how it was made, and "
        "--from-png repeats it to the same pixels. A broken image does not stop the others. "
        "Exit code: 0 all written, 1 some failed, 2 wrong usage.",
    )
    parser.add_argument("checkpoint", nargs="?", metavar="CHECKPOINT", help="checkpoint id, folder, or Hub id")
    parser.add_argument("--image", nargs="+", type=Path, metavar="PATH", help="images, and folders of images")
    parser.add_argument("--exemplar", type=Path, metavar="PATH", help="the exemplar, one for all images")
    _add_optimization(parser)
    _add_computation(parser)
    _add_drawing(parser)
    parser.add_argument("--seed", type=int, metavar="N", help="the same for every image (default: 0)")
    parser.add_argument("--from-png", type=Path, metavar="FILE", help="repeat this PNG, written here before")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("outputs"),
        metavar="PATH",
        help="a folder, or for a single result a .png file; several results of an image are called after their "
        "classes and numbers (default: outputs)",
    )
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 or mps (default: the best one here)")


def run(args: argparse.Namespace) -> int:
    """Translate the images and print the closing table.

    Returns:
        0 when all images were written, 1 when some failed.

    Raises:
        UsageError: the arguments do not fit together, or the pipeline does not take one of them.
        ImageError: the exemplar, or the PNG to repeat, cannot be used.
    """
    if args.from_png is not None:
        from pipelines.commands.from_png import repeat

        return repeat(args)
    if args.checkpoint is None or args.image is None:
        raise UsageError("translate needs a CHECKPOINT and --image, or --from-png.")

    from pipelines.commands import batch, call
    from pipelines.images.formats import read_image

    arguments = {name: getattr(args, name) for name in PASSED_ON if getattr(args, name) is not None}
    if args.set:
        arguments["settings"] = dict(args.set)
    if args.set_refine:
        arguments["refine_settings"] = dict(args.set_refine)
    shared = {} if args.exemplar is None else {"exemplar": args.exemplar}
    if len(args.strength or ()) == 1:
        arguments["strength"] = args.strength[0]  # of all levels
    images, failed = batch.find_images(args.image)
    inputs = [*images, *shared.values()]
    if args.target_class is None and args.num_images is None:
        batch.plan_outputs(images, args.output, inputs)  # before anything is loaded
    for name, path in shared.items():
        read_image(path, name=name)  # a broken exemplar would fail every image: say so once
    pipe = call.load(args.checkpoint, args.device)
    call.check_arguments(pipe, {"image", *shared, *arguments}, seeded=args.seed is not None)
    outputs = batch.plan_results(images, call.result_labels(pipe, arguments), args.output, inputs)

    def translate(image: Path, outputs: Sequence[Path]) -> None:
        call.translate(pipe, {"image": image, **shared}, arguments, args.seed or 0, outputs)

    outcomes = failed + batch.run_all(images, outputs, translate)
    print(batch.table(outcomes))
    return 1 if any(outcome.failure for outcome in outcomes) else 0


def _add_optimization(parser: argparse.ArgumentParser) -> None:
    """Of pipelines that optimize on the images."""
    parser.add_argument("--num-steps", type=int, metavar="N", help="optimization steps (default: the pipeline's)")
    parser.add_argument("--preset", metavar="NAME", help="named settings of the pipeline")
    parser.add_argument(
        "--set",
        nargs="+",
        type=_setting,
        metavar="NAME=VALUE",
        help="change settings of the preset, such as augment=false",
    )
    parser.add_argument(
        "--refine",
        action=argparse.BooleanOptionalAction,
        help="refine the result with the checkpoint's GAN, or not (default: where it has one)",
    )
    parser.add_argument(
        "--num-refine-steps", type=int, metavar="N", help="steps of refinement (default: the checkpoint's)"
    )
    parser.add_argument(
        "--set-refine",
        nargs="+",
        type=_setting,
        metavar="NAME=VALUE",
        help="change settings of refinement, such as hypotheses=[[6,20]]",
    )


def _add_computation(parser: argparse.ArgumentParser) -> None:
    """Of pipelines that translate with a network as it is: at which size and how it is computed."""
    parser.add_argument(
        "--size",
        type=int,
        metavar="N",
        help="shorter side in pixels at which to translate, 0 for the picture's own (default: the checkpoint's)",
    )
    parser.add_argument("--precision", metavar="NAME", help="fp32 or bf16 (default: the faster one here)")
    parser.add_argument("--max-pixels", type=int, metavar="N", help="translate larger pictures in strips")
    parser.add_argument(
        "--compile",
        action="store_true",
        default=None,
        help="compile the networks first: worth it for many pictures of one size",
    )


def _add_drawing(parser: argparse.ArgumentParser) -> None:
    """Of pipelines that draw pictures with a GAN: which of them, and how."""
    parser.add_argument(
        "--target-class",
        nargs="+",
        metavar="NAME",
        help="names of classes, their numbers, unique parts of their names, or all",
    )
    parser.add_argument("--num-images-per-class", type=int, metavar="N", help="results of every class (default: 1)")
    parser.add_argument("--num-images", type=int, metavar="N", help="results of every image (default: 1)")
    parser.add_argument(
        "--truncation", type=float, metavar="T", help="0 to 1; less is closer to the mean (default: 1)"
    )
    parser.add_argument(
        "--strength",
        nargs="+",
        type=float,
        metavar="S",
        help="how much of the picture is kept: a factor, or one a level from fine to coarse (default: 1)",
    )
    parser.add_argument(
        "--crop",
        nargs=3,
        type=int,
        metavar=("LEFT", "TOP", "SIDE"),
        help="the square to translate, in pixels (default: the largest one in the center)",
    )


def _setting(text: str) -> tuple[str, Any]:
    """Read NAME=VALUE; the value is JSON, or text that is not."""
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
