"""`python -m pipelines train cut`: a generator from two folders of pictures, by CUT, FastCUT or CycleGAN."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import sys
from pathlib import Path

from pipelines.commands.cut_card import model_card
from pipelines.commands.training_options import (
    add_config_options,
    add_run_options,
    config_from,
    exit_code,
    run_options,
)

FOLDERS = {"a2b": "pipeline", "b2a": "pipeline_b2a"}  # of a run, by direction
OPTIONS = {
    "base_channels": "of the generator",
    "num_blocks": "residual blocks; 6 are enough for 128 pixels",
    "discriminator_channels": "of its first layer",
    "antialias": "blurred down- and bilinear upsampling",
    "crop_size": "side of a training crop in pixels",
    "load_size": "resize the pictures to this before cropping",
    "resize": "square (the aspect is lost) or short_side",
    "batch_size": "pictures of each side a step, over all processes",
    "epochs": "with constant learning rate",
    "decay_epochs": "further epochs in which it falls",
    "lr": "learning rate of Adam",
    "lambda_gan": "weight of CUT's adversarial loss",
    "lambda_nce": "weight of PatchNCE",
    "nce_identity": "PatchNCE of translated target pictures too",
    "flip_equivariance": "mirror half of the inputs, and their features back",
    "nce_layers": "layers of the generator that PatchNCE compares",
    "num_patches": "places compared a layer",
    "negatives": "internal: of the same picture; external: of others, from a memory bank",
    "bank_size": "keys in that bank, a layer",
    "bank_momentum": "of the encoder that fills it",
    "share_encoder": "one encoder embeds input and output",
    "nce_to_decoder": "PatchNCE trains the decoder too",
    "lambda_cycle": "weight of CycleGAN's cycle loss",
    "lambda_identity": "weight of its identity loss, relative to that",
    "pool_size": "earlier translations that its discriminators see again",
    "ema_decay": "of the averaged generator, which is saved; 0 saves the trained one",
    "precision": "bf16 or fp32",
    "compile": "compile the networks first",
    "seed": "of weights, order and crops",
}


def add_parser(methods) -> None:
    """Add `train cut`."""
    from pipelines.cut.training_config import PRESETS, CUTConfig

    parser = methods.add_parser(
        "cut",
        help="CUT, FastCUT or CycleGAN: translate one kind of picture into another",
        description="Train a generator on DIR/trainA and DIR/trainB; previews come from DIR/testA where it is there. "
        "Writes a pipeline folder, OUTPUT/pipeline, that CUTPipeline.from_pretrained loads; CycleGAN's way back is "
        "OUTPUT/pipeline_b2a. The same command again goes on where it stopped. Several GPUs: accelerate launch -m "
        "pipelines train cut ...",
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="holds trainA, trainB [testA, testB]")
    parser.add_argument("--preset", choices=PRESETS, default="cut", help="settings to begin with (default: cut)")
    parser.add_argument("--license", metavar="NAME", help="of the weights, for their model card, such as cc-by-4.0")
    parser.add_argument("--half", action="store_true", help="write the generator in half precision")
    add_run_options(parser)
    add_config_options(parser, CUTConfig, OPTIONS)
    parser.set_defaults(run_method=run)


def run(args: argparse.Namespace) -> int:
    """Train, and write the pipeline.

    Returns:
        0 when all steps are done, 130 when the run was stopped and saved.
    """
    from accelerate import Accelerator

    from pipelines.cut.cyclegan_trainer import CycleGANTrainer
    from pipelines.cut.trainer import CUTTrainer
    from pipelines.cut.training_config import PRESETS, CUTConfig
    from pipelines.hub.allocator import tune_allocator
    from pipelines.training.loop import train
    from pipelines.training.unpaired import UnpairedBatches, read_side

    config = config_from(args, CUTConfig, PRESETS[args.preset])
    tune_allocator()
    accelerator = Accelerator()
    sides = [read_side(args.data / name, config.load_size, config.resize) for name in ("trainA", "trainB")]
    shown = None
    if (args.data / "testA").is_dir():
        shown = read_side(args.data / "testA", config.crop_size, config.resize)
    counts = [len(side.pictures) for side in sides]
    if accelerator.is_main_process:
        for side in (*sides, *([shown] if shown else [])):
            for sentence in side.skipped:
                print(f"pipelines: {sentence}", file=sys.stderr)
        print(f"{counts[0]} pictures in trainA, {counts[1]} in trainB")

    data = UnpairedBatches(
        *sides, config.batch_size, config.seed, accelerator.process_index, accelerator.num_processes
    )
    trainer_class = CycleGANTrainer if config.method == "cyclegan" else CUTTrainer
    trainer = trainer_class(config, accelerator, data.steps_per_epoch, shown)
    steps = (config.epochs + config.decay_epochs) * data.steps_per_epoch
    finished = train(
        trainer,
        data,
        accelerator,
        config={**dataclasses.asdict(config), "pictures": counts},
        defaults=dataclasses.asdict(CUTConfig()),
        steps=steps,
        seed=config.seed,
        **run_options(args),
    )
    if accelerator.is_main_process:
        _write_results(args, trainer, counts)
    return exit_code(finished, steps, accelerator)


def _write_results(args: argparse.Namespace, trainer, counts: list[int]) -> None:
    from pipelines.cut.pipeline import CUTPipeline

    record = {"steps": trainer.steps_done, "pictures": counts, "config": dataclasses.asdict(trainer.config)}
    for direction, generator in trainer.results().items():
        folder = args.output / FOLDERS[direction]
        generator = copy.deepcopy(generator)
        pipe = CUTPipeline(generator.half() if args.half else generator, size=trainer.config.load_size)
        pipe.save_pretrained(folder)
        card = model_card(folder.resolve(), direction, args, record)
        (folder / "README.md").write_text(card, encoding="utf-8")
        print(f"{folder}: the generator after {trainer.steps_done} steps")
    (args.output / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
