"""`python -m pipelines train classifier`: a backbone from labeled pictures."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.commands.training_options import (
    add_config_options,
    add_run_options,
    config_from,
    exit_code,
    run_options,
)
from pipelines.training.classifier_config import ClassifierConfig

if TYPE_CHECKING:
    from pipelines.training.classifier import ClassifierTrainer

OPTIONS = {
    "steps": "length of the schedule",
    "batch_size": "pictures a step, over all processes",
    "size": "side of a view in pixels",
    "seed": "of weights, order, views and split",
    "blocks": "widths of the convolutions, a block after the other",
    "taps": "layers to compare, the deepest last",
    "optimizer": "adamw or sgd",
    "lr": "peak learning rate",
    "warmup_steps": "steps of linear warm-up",
    "weight_decay": "of convolutions and head",
    "label_smoothing": "0 to 1",
    "crop_scale": "smallest and largest share of a picture's area that a view keeps",
    "color_jitter": "strength of photometric changes, 0 to 1",
    "ema_decay": "of the averaged weights, which are measured and saved",
    "dense_weight": "factor of the dense correspondence term; 0 leaves it out",
    "dense_points": "places a picture in that term",
    "dense_temperature": "its temperature",
    "precision": "bf16 or fp32",
}


def add_parser(methods) -> None:
    """Add `train classifier`."""
    parser = methods.add_parser(
        "classifier",
        help="a backbone from labeled pictures",
        description="Train a VGG-type backbone on folders of class folders. Writes OUTPUT/backbone (diffusers layout, "
        "batch normalization folded in), classes.json, metrics.json and split.json. The same command again goes on "
        "where it stopped. Several processes: accelerate launch -m pipelines train classifier ...",
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders that hold one folder per class")
    parser.add_argument("--exclude", nargs="*", default=[], metavar="GLOB", help="class folders to leave out")
    parser.add_argument("--held-out", type=float, default=0.1, metavar="X", help="share of a class kept to measure")
    parser.add_argument("--half", action="store_true", help="write the backbone in half precision")
    add_run_options(parser)
    add_config_options(parser, ClassifierConfig, OPTIONS)
    parser.set_defaults(run_method=run)


def run(args: argparse.Namespace) -> int:
    """Train, and write the result.

    Returns:
        0 when all steps are done, 130 when the run was stopped and saved.
    """
    from accelerate import Accelerator

    from pipelines.training.classifier import ClassifierTrainer
    from pipelines.training.datasets import (
        ImageBatches,
        describe_files,
        find_labeled_images,
        load_images,
        split_held_out,
        write_split,
    )
    from pipelines.training.loop import train

    config = config_from(args, ClassifierConfig)
    accelerator = Accelerator()
    files = find_labeled_images(args.data, args.exclude)
    class_names = sorted({file.class_name for file in files})
    train_files, held_out_files = split_held_out(files, args.held_out, config.seed)
    cache_size = round(config.size * 8 / 7)  # a view that keeps most of the picture is not enlarged
    pictures = load_images(train_files, class_names, cache_size)
    held_out = load_images(held_out_files, class_names, cache_size)
    if accelerator.is_main_process:
        for sentence in pictures.skipped + held_out.skipped:
            print(f"pipelines: {sentence}", file=sys.stderr)
        print(f"{len(pictures.labels)} pictures of {len(class_names)} classes, {len(held_out.labels)} held out")

    trainer = ClassifierTrainer(config, class_names, accelerator, held_out)
    data = ImageBatches(pictures, config.batch_size, config.seed, accelerator.process_index, accelerator.num_processes)
    finished = train(
        trainer,
        data,
        accelerator,
        config={
            **dataclasses.asdict(config),
            "classes": class_names,
            "train_files": describe_files(train_files),
            "held_out": args.held_out,
        },
        steps=config.steps,
        seed=config.seed,
        evaluate=trainer.evaluate,
        **run_options(args),
    )
    if finished >= config.steps and accelerator.is_main_process:
        write_split(args.output / "split.json", train_files, held_out_files, config.seed)
        _write_result(args, trainer, len(pictures.labels))
    return exit_code(finished, config.steps, accelerator)


def _write_result(args: argparse.Namespace, trainer: ClassifierTrainer, pictures: int) -> None:
    backbone = trainer.backbone()
    (backbone.half() if args.half else backbone).save_pretrained(args.output / "backbone")
    metrics = {
        **trainer.evaluate(),
        "classes": len(trainer.class_names),
        "train_pictures": pictures,
        "held_out_pictures": len(trainer.held_out.labels),
        "config": dataclasses.asdict(trainer.config),
    }
    (args.output / "classes.json").write_text(json.dumps(trainer.class_names, indent=1) + "\n", encoding="utf-8")
    (args.output / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    print(f"{args.output / 'backbone'}: {metrics['held_out_accuracy']:.3f} accuracy on held-out pictures")
