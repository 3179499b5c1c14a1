"""`python -m pipelines train autoencoder`: a generator for `train biggan` to begin from."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from pipelines.commands import UsageError, train_biggan
from pipelines.commands.backbone_option import add_backbone_option, read_backbone
from pipelines.commands.class_folders import ClassFolders, add_data_options
from pipelines.commands.training_options import add_config_options, add_run_options, exit_code, run_options

OPTIONS = {
    "steps": "length of the schedule",
    "batch_size": "pictures a step, over all processes",
    **{name: train_biggan.OPTIONS[name] for name in train_biggan.ARCHITECTURE},
    "encoder_channels": "of the encoder's first map",
    "lr": "learning rate of Adam at its highest",
    "warmup_steps": "steps of linear warm-up",
    "kl_weight": "of the divergence from the standard normal distribution",
    "feature_weight": "of the distance of the backbone's maps",
    "feature_taps": "layers of the backbone; shallow: the last of every block but the deepest",
    "flip": "mirror half of the pictures",
    "balanced": "every class equally often",
    "ema_decay": "of the averaged generator, which is saved",
    "precision": "bf16 or fp32",
    "seed": "of weights, order and draws",
}


def add_parser(methods) -> None:
    """Add `train autoencoder`."""
    from pipelines.training.autoencoder_config import AutoencoderConfig

    parser = methods.add_parser(
        "autoencoder",
        help="a generator for `train biggan` to begin from",
        description="Train BigGAN's generator as the decoder of a variational autoencoder, on folders of class "
        "folders. Writes OUTPUT/gan: generator, a discriminator of random weights and classes.json, which `train "
        "biggan --init OUTPUT/gan` begins from. With --init it begins from another one itself: sizes that are not "
        "given are its own, and a higher --resolution makes it grow. The same command again goes on where it stopped.",
    )
    add_data_options(parser)
    add_backbone_option(parser, "compares pictures", "oeft-starter")
    parser.add_argument("--init", type=Path, metavar="FOLDER", help="GAN to begin from (default: random weights)")
    parser.add_argument("--half", action="store_true", help="write the networks in half precision")
    add_run_options(parser)
    add_config_options(parser, AutoencoderConfig, OPTIONS)
    parser.set_defaults(run_method=run)


def run(args: argparse.Namespace) -> int:
    """Train, and write the networks.

    Returns:
        0 when all steps are done, 130 when the run was stopped and saved.

    Raises:
        UsageError: a value is not accepted, contradicts `--init`, or the checkpoint has no backbone.
        CheckpointError: the checkpoint cannot be loaded.
    """
    from accelerate import Accelerator

    from pipelines.hub.allocator import tune_allocator
    from pipelines.training.autoencoder import AutoencoderTrainer, taps_of
    from pipelines.training.autoencoder_config import AutoencoderConfig
    from pipelines.training.loop import train
    from pipelines.training.pretrained_gan import read_gan

    init = read_gan(args.init) if args.init else None
    config = train_biggan.sized_config(args, AutoencoderConfig, init)
    tune_allocator()
    backbone, backbone_name = read_backbone(args.backbone)
    try:
        taps_of(backbone, config.feature_taps)
    except ValueError as error:
        raise UsageError(str(error)) from error
    accelerator = Accelerator()
    data = ClassFolders(args, config.resolution, accelerator)
    networks = train_biggan.first_networks(args, config, init, data.class_names, accelerator)
    trainer = AutoencoderTrainer(config, len(data.class_names), accelerator, backbone, networks)
    origin = {"backbone": backbone_name, "init": train_biggan.name_of(args.init)}
    finished = train(
        trainer,
        data.batches(config, accelerator),
        accelerator,
        config={**dataclasses.asdict(config), **data.record(), **origin},
        steps=config.steps,
        seed=config.seed,
        **run_options(args),
    )
    if accelerator.is_main_process:
        train_biggan.write_gan(args, trainer, data.class_names, backbone=backbone_name)
    return exit_code(finished, config.steps, accelerator)
