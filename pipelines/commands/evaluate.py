"""`python -m pipelines evaluate`: score a checkpoint on held-out pictures, or a folder against another."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.commands import UsageError

if TYPE_CHECKING:
    from pipelines.metrics.measures import Measures
    from pipelines.metrics.shares import Shares

METRICS = ("fid", "kid", "mfid", "mkid", "rc", "fc", "lpips", "sifid", "pixels", "segmentation")
PER_CLASS = ("mfid", "mkid", "rc", "fc")


def add_parser(subparsers) -> None:
    """Add the arguments of `evaluate`."""
    parser = subparsers.add_parser(
        "evaluate",
        help="score a checkpoint on held-out pictures, or one folder of pictures against another",
        description="Score what a checkpoint makes of held-out pictures, beside the untouched input and the nearest "
        "training picture, or with --generated any two folders. An unpaired checkpoint translates DIR/testA and is "
        "compared with DIR/testB; one of many classes translates pictures of DIR/<class>/ into all other classes. "
        "Every result is a line of JSON that says how it was measured. The same command again measures only what "
        "the file lacks. Scores of different extractors, sizes or numbers of pictures cannot be compared.",
    )
    parser.add_argument("checkpoint", nargs="?", metavar="CHECKPOINT", help="checkpoint id, folder, or Hub id")
    parser.add_argument("--generated", type=Path, metavar="DIR", help="score these pictures instead of a checkpoint's")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="the real pictures")
    parser.add_argument("--split", type=Path, metavar="FILE", help="split.json of the training run, for many classes")
    parser.add_argument(
        "--metrics",
        nargs="+",
        choices=METRICS,
        required=True,
        help="mfid, mkid: mean over classes; rc, fc: accuracy of a classifier of real pictures on generated ones, and "
        "the reverse; lpips: uncalibrated distance of a translation from its input, or of a picture of --generated "
        "from that of the same name in --data; sifid: single-image FID of such pairs of --generated; pixels: share of "
        "the pixels that --segmenter gives --labels; segmentation: mean IoU of --generated with label maps in --data",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="results, appended as JSON lines")
    parser.add_argument(
        "--extractor",
        default="oeft-starter",
        metavar="CHECKPOINT",
        help="whose backbone makes the features (default: oeft-starter, in the repository); or inception:FILE, "
        "weights of Inception-v3 (safetensors or .pth), of which only pytorch-fid's file gives the FID of papers; or "
        "inception:timm/inception_v3.tv_in1k[@COMMIT], or tf_in1k, from the Hub",
    )
    parser.add_argument("--tap", metavar="NAME", help="layer of the network (default: its deepest)")
    parser.add_argument(
        "--resize",
        choices=("clean", "pytorch-fid", "none"),
        help="antialiased, bilinear without antialiasing as pytorch-fid, or not at all (default: clean; of inception "
        "pytorch-fid)",
    )
    parser.add_argument("--size", type=int, metavar="N", help="pixels to resize to (default: 128; of inception 299)")
    parser.add_argument(
        "--segmenter",
        type=Path,
        metavar="FILE",
        help="weights of a segmentation network of torchvision (safetensors or .pth), for pixels and segmentation",
    )
    parser.add_argument(
        "--labels", type=int, nargs="+", metavar="N", help="labels of the segmenter that pixels counts together"
    )
    parser.add_argument(
        "--resolution",
        type=int,
        metavar="N",
        help="first bring all pictures to their center square of N pixels (default: many classes: that of the "
        "checkpoint; else whole pictures)",
    )
    parser.add_argument("--num-images", type=int, metavar="N", help="inputs (default: many classes: 100; else all)")
    parser.add_argument("--per-class", type=int, metavar="N", help="pictures of every class (default: one an input)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep features here: a broken run goes on")
    parser.add_argument("--exclude", nargs="*", metavar="GLOB", help="classes to leave out")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of inputs, latents and resampling")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="pictures the extractor sees at once")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 or mps (default: the best one here)")


def run(args: argparse.Namespace) -> int:
    """Measure, and print a line a result.

    Returns:
        0.

    Raises:
        UsageError: the arguments do not fit together, or the checkpoint.
        MetricError: pictures cannot be measured.
        DatasetError: a folder or the split cannot be used.
    """
    _check(args)
    from pipelines.commands.extractor import load_extractor, load_segments
    from pipelines.metrics.evaluation import evaluate, measures_for
    from pipelines.metrics.measures import Measures
    from pipelines.metrics.results import ResultsFile
    from pipelines.metrics.shares import Shares

    shares = Shares(args.work)
    args.device = args.device or shares.device
    measures = Measures(load_extractor(args), measures_for(args.metrics), load_segments(args))
    sets = _folders(args, measures, shares) if args.generated else _of_checkpoint(args, measures, shares)
    file = ResultsFile(args.output)
    for result in evaluate(sets.real, sets.systems(), args.metrics, measures, args.seed, file, shares):
        if shares.is_main:
            print(_line(result), flush=True)
    if shares.is_main:
        name = measures.extractor.name
        print(f"{args.output}: on {name}, comparable only with results of the same extractor and counts")
    return 0


def _check(args: argparse.Namespace) -> None:
    if (args.checkpoint is None) == (args.generated is None):
        raise UsageError("evaluate needs either a CHECKPOINT or --generated.")
    if not args.generated and "sifid" in args.metrics:
        raise UsageError("--metrics sifid compares pairs of pictures: give them by --generated and --data.")
    _check_segments(args)
    if args.generated and len(args.data) > 1:
        raise UsageError("--data: one folder is compared with --generated.")
    for name in ("size", "resolution", "num_images", "per_class", "batch_size"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')} is {value}; it must be at least 1.")


def _check_segments(args: argparse.Namespace) -> None:
    segmented = [metric for metric in ("pixels", "segmentation") if metric in args.metrics]
    if segmented and args.segmenter is None:
        raise UsageError(f"--metrics {' '.join(segmented)}: needs --segmenter.")
    if ("pixels" in segmented) != (args.labels is not None):
        raise UsageError("--metrics pixels and --labels need each other.")
    if "segmentation" in segmented and (len(set(args.metrics)) > 1 or not args.generated or args.resolution):
        raise UsageError(
            "--metrics segmentation stands alone, with --generated, without --resolution: its --data are label maps."
        )


def _folders(args: argparse.Namespace, measures: Measures, shares: Shares) -> Any:
    from pipelines.commands.evaluated_folders import FolderSets

    for name in ("split", "num_images", "per_class", "exclude"):
        if getattr(args, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')} is for checkpoints, not for --generated.")
    per_class = any(metric in PER_CLASS for metric in args.metrics)
    return FolderSets(measures, shares, args.data[0], args.generated, per_class, args.resolution)


def _of_checkpoint(args: argparse.Namespace, measures: Measures, shares: Shares) -> Any:
    from pipelines.commands import call
    from pipelines.commands.evaluated_classes import ClassSets
    from pipelines.commands.evaluated_sets import UnpairedSets

    pipe = call.load(args.checkpoint, args.device)
    accepted = call.parameters(pipe)
    if "target_class" in accepted:
        if "pixels" in args.metrics:
            raise UsageError(f"--metrics pixels: {args.checkpoint} has many classes; translate, and use --generated.")
        return ClassSets(
            pipe,
            args.checkpoint,
            measures,
            shares,
            args.data,
            args.split,
            args.num_images,
            args.per_class,
            args.resolution,
            args.seed,
            args.exclude or (),
        )
    if "exemplar" in accepted:
        raise UsageError(
            f"{type(pipe).__name__} takes an exemplar; unpaired and many-class checkpoints are evaluated."
        )
    if wrong := [metric for metric in args.metrics if metric in PER_CLASS]:
        raise UsageError(
            f"--metrics {' '.join(wrong)}: {args.checkpoint} has no classes; it takes fid, kid, lpips and pixels."
        )
    if args.split or args.per_class or args.exclude or len(args.data) > 1:
        raise UsageError(
            f"--split, --per-class, --exclude and several --data are for many classes; {args.checkpoint} has none."
        )
    return UnpairedSets(
        pipe, args.checkpoint, measures, shares, args.data[0], args.num_images, args.resolution, args.seed
    )


def _line(result: dict[str, Any]) -> str:
    interval = ""
    if result["interval"]:
        low, high = result["interval"]
        interval = f" [{low:.4g}, {high:.4g}]"
    counts = ", ".join(f"{count} {what}" for what, count in result["counts"].items() if what != "per_class")
    return f"{result['metric']:<5} {result['system']:<24} {result['value']:.4g}{interval}  {counts}"
