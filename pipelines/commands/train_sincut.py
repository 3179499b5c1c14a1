"""`python -m pipelines train sincut`: a generator from two single pictures."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.commands import UsageError
from pipelines.commands.sincut_card import model_card
from pipelines.commands.training_options import (
    add_config_options,
    add_run_options,
    config_from,
    exit_code,
    run_options,
)

if TYPE_CHECKING:
    from pipelines.images.formats import ReadImage
    from pipelines.sincut.trainer import SinCUTTrainer

OPTIONS = {
    "num_steps": "length of the schedule",
    "base_channels": "of the generator",
    "num_blocks": "residual blocks of the generator, an even number",
    "inject_noise": "learned noise in the generator",
    "discriminator_channels": "of its first layer",
    "crop_size": "side of a training crop in pixels",
    "batch_size": "crops of each picture a step, over all processes",
    "zoom": "each (every crop has its own) or width (384 to 1024 pixels, one a step)",
    "lr": "learning rate of Adam",
    "lambda_nce": "weight of PatchNCE",
    "lambda_identity": "weight of the identity loss",
    "r1_every": "steps between R1 penalties",
    "ema_decay": "of the averaged generator, which is saved; 0 saves the trained one",
    "precision": "auto, bf16 or fp32",
}


def add_parser(methods) -> None:
    """Add `train sincut`."""
    from pipelines.sincut.settings import PRESETS, SinCUTSettings

    parser = methods.add_parser(
        "sincut",
        help="SinCUT: translate one picture into the kind of another",
        description="Train a generator on two pictures alone. Writes OUTPUT/pipeline, which "
        "SinCUTPipeline.from_pretrained loads, and OUTPUT/result.png, the picture translated at full size. The same "
        "command again goes on where it stopped. Several processes: accelerate launch -m pipelines train sincut ...",
    )
    parser.add_argument("--image", type=Path, required=True, metavar="PATH", help="the picture to translate")
    parser.add_argument("--exemplar", type=Path, required=True, metavar="PATH", help="the picture of the other kind")
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        default="cpu",
        help="settings to begin with (default: cpu; the other defaults named here are those of paper)",
    )
    parser.add_argument("--license", metavar="NAME", help="of the weights, for their model card, such as cc-by-4.0")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of weights and crops (default: 0)")
    add_run_options(parser)
    add_config_options(parser, SinCUTSettings, OPTIONS)
    parser.set_defaults(run_method=run)


def run(args: argparse.Namespace) -> int:
    """Train, and write the pipeline and the picture.

    Returns:
        0 when all steps are done, 130 when the run was stopped and saved.
    """
    import torch
    from accelerate import Accelerator

    from pipelines.hub.allocator import tune_allocator
    from pipelines.images.formats import read_image, to_output
    from pipelines.images.provenance import pixel_hash
    from pipelines.sincut.settings import PRESETS, SinCUTSettings
    from pipelines.sincut.trainer import PicturePair, SinCUTTrainer
    from pipelines.training.loop import train

    settings = config_from(args, SinCUTSettings, PRESETS[args.preset])
    tune_allocator()
    accelerator = Accelerator()
    if settings.batch_size % accelerator.num_processes:
        raise UsageError(
            f"--batch-size {settings.batch_size} is not a multiple of the {accelerator.num_processes} processes."
        )
    pair = [read_image(args.image), read_image(args.exemplar, name="exemplar")]
    initial = torch.Generator().manual_seed(args.seed)
    trainer = SinCUTTrainer(settings, initial, accelerator.device, accelerator)
    steps = settings.num_steps
    finished = train(
        trainer,
        PicturePair(*to_output([read.pixels for read in pair])),
        accelerator,
        config={**dataclasses.asdict(settings), "seed": args.seed, "pictures": [pixel_hash(read) for read in pair]},
        steps=steps,
        seed=args.seed,
        **run_options(args),
    )
    if accelerator.is_main_process:
        _write_result(args, trainer, pair[0])
    return exit_code(finished, steps, accelerator)


def _write_result(args: argparse.Namespace, trainer: SinCUTTrainer, source: ReadImage) -> None:
    from pipelines.images.provenance import make_record, save_png
    from pipelines.sincut.pipeline import SinCUTPipeline

    settings = dataclasses.asdict(trainer.settings)
    record = {"steps": trainer.steps_done, "seed": args.seed, "settings": settings}
    folder = args.output / "pipeline"
    SinCUTPipeline(trainer.result(), args.preset).save_pretrained(folder)
    (folder / "README.md").write_text(model_card(folder.resolve(), args, record), encoding="utf-8")
    pipe = SinCUTPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    picture = pipe.to(trainer.device)(args.image).images[0]
    save_png(picture, args.output / "result.png", make_record(pipe, inputs={"image": [source]}, arguments={}, seed=0))
    (args.output / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"{args.output / 'result.png'}: the picture after {trainer.steps_done} steps")
