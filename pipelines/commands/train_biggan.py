"""`python -m pipelines train biggan`: a class-conditional GAN, for DeepI2I to begin from."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipelines.commands import UsageError
from pipelines.commands.backbone_option import add_backbone_option, read_backbone
from pipelines.commands.class_folders import ClassFolders, add_data_options
from pipelines.commands.training_options import (
    add_config_options,
    add_run_options,
    config_from,
    exit_code,
    run_options,
)

if TYPE_CHECKING:
    from accelerate import Accelerator

    from pipelines.training.pretrained_gan import GAN

Sized = TypeVar("Sized")

OPTIONS = {
    "steps": "of training",
    "batch_size": "pictures a step, over all processes",
    "resolution": "side of a picture in pixels: 32, 64 or 128",
    "base_channels": "of the generator",
    "discriminator_channels": "of the discriminator",
    "max_channels": "no layer has more",
    "latent_dim": "numbers drawn for a picture",
    "embedding_dim": "of a class",
    "attention_resolution": "map that self-attention works on; 0 for none",
    "lr_generator": "learning rate of Adam",
    "lr_discriminator": "learning rate of Adam",
    "embedding_rate": "times --lr-generator: learning rate of the class embedding, for classes that begin alike",
    "discriminator_warmup": "steps of the discriminators alone, before the generator's first",
    "augmentation": "differentiable changes before the discriminator, or none",
    "flip": "mirror half of the pictures",
    "balanced": "every class equally often",
    "ema_decay": "of the averaged generator, which is saved",
    "precision": "bf16 or fp32",
    "seed": "of weights, order and draws",
}
ARCHITECTURE = (
    "resolution",
    "base_channels",
    "discriminator_channels",
    "max_channels",
    "latent_dim",
    "embedding_dim",
    "attention_resolution",
)


def add_parser(methods) -> None:
    """Add `train biggan`."""
    from pipelines.training.gan_config import BigGANConfig

    parser = methods.add_parser(
        "biggan",
        help="a class-conditional GAN, for DeepI2I to begin from",
        description="Train BigGAN on folders of class folders. Writes OUTPUT/gan: generator, discriminator and "
        "classes.json, which `train deepi2i --init OUTPUT/gan` begins from. With --init it begins from another one: "
        "sizes that are not given are its own, and a higher --resolution makes it grow. The same command again goes "
        "on where it stopped.",
    )
    add_data_options(parser)
    parser.add_argument("--init", type=Path, metavar="FOLDER", help="GAN to begin from (default: random weights)")
    add_backbone_option(parser, "gets discriminators on its features, beside BigGAN's", None)
    parser.add_argument("--half", action="store_true", help="write the networks in half precision")
    add_run_options(parser)
    add_config_options(parser, BigGANConfig, OPTIONS)
    parser.set_defaults(run_method=run)


def run(args: argparse.Namespace) -> int:
    """Train, and write the networks.

    Returns:
        0 when all steps are done, 130 when the run was stopped and saved.

    Raises:
        UsageError: a size is given that contradicts `--init`, or the checkpoint has no backbone.
        CheckpointError: the checkpoint cannot be loaded.
    """
    from accelerate import Accelerator

    from pipelines.hub.allocator import tune_allocator
    from pipelines.training.gan import BigGANTrainer
    from pipelines.training.gan_config import BigGANConfig
    from pipelines.training.loop import train
    from pipelines.training.pretrained_gan import read_gan

    init = read_gan(args.init) if args.init else None
    config = sized_config(args, BigGANConfig, init)
    tune_allocator()
    backbone, backbone_name = read_backbone(args.backbone) if args.backbone else (None, None)
    accelerator = Accelerator()
    data = ClassFolders(args, config.resolution, accelerator)
    networks = first_networks(args, config, init, data.class_names, accelerator)
    trainer = BigGANTrainer(config, len(data.class_names), accelerator, networks, backbone)
    finished = train(
        trainer,
        data.batches(config, accelerator),
        accelerator,
        config={**_deciding(config), **data.record(), "init": name_of(args.init), "backbone": backbone_name},
        steps=config.steps,
        seed=config.seed,
        **run_options(args),
    )
    if accelerator.is_main_process:
        write_gan(args, trainer, data.class_names, backbone=backbone_name)
    return exit_code(finished, config.steps, accelerator)


def first_networks(
    args: argparse.Namespace, config: Any, init: GAN | None, class_names: list[str], accelerator: Accelerator
) -> GAN:
    """The networks that a run begins with: random ones, and of `init` all that fits, which a new run says.

    Raises:
        TrainingError: nothing of `init` fits.
    """
    from pipelines.training.checkpoint import list_checkpoints
    from pipelines.training.gan import initial_networks
    from pipelines.training.pretrained_gan import begin

    networks = initial_networks(config, len(class_names))
    if init:
        note = begin(init, networks, class_names)
        if accelerator.is_main_process and not list_checkpoints(args.output / "checkpoints"):
            print(note)
    return networks


def sized_config(args: argparse.Namespace, config: type[Sized], init: GAN | None) -> Sized:
    """The config of a run; where it begins from a GAN the sizes are that one's, but for a higher resolution.

    Raises:
        UsageError: another size is given, or the config refuses a value.
    """
    from pipelines.training.pretrained_gan import sizes_of

    if init is None:
        return config_from(args, config)
    sizes = sizes_of(init, getattr(args, "resolution", None))
    for name in ARCHITECTURE:
        given = getattr(args, name, sizes[name])
        if given != sizes[name]:
            but = "; only a higher resolution is accepted" if name == "resolution" else ""
            raise UsageError(f"--{name.replace('_', '-')} is {given}, but --init makes it {sizes[name]}{but}.")
    return config_from(args, config, sizes)


def name_of(init: Path | None) -> str | None:
    """What a run's record calls the GAN that it began from."""
    return init.resolve().name if init else None


def _deciding(config) -> dict:
    """The settings that a resumed run must share: all but how long it is."""
    return {name: value for name, value in dataclasses.asdict(config).items() if name != "steps"}


def write_gan(args: argparse.Namespace, trainer: Any, class_names: list[str], **more: Any) -> None:
    """Write OUTPUT/gan and training.json, the record of the run.

    Args:
        args: what the command line said.
        trainer: has `result()`, `discriminator`, `steps_done` and `config`.
        class_names: of the labels.
        **more: for the record.
    """
    folder = args.output / "gan"
    networks = {"generator": trainer.result(), "discriminator": copy.deepcopy(trainer.discriminator)}
    for name, network in networks.items():
        (network.half() if args.half else network).save_pretrained(folder / name)
    (folder / "classes.json").write_text(json.dumps(class_names, indent=1) + "\n", encoding="utf-8")
    record = {
        "steps": trainer.steps_done,
        "init": name_of(args.init),
        "config": dataclasses.asdict(trainer.config),
        "classes": class_names,
        **more,
    }
    (args.output / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"{folder}: generator and discriminator after {trainer.steps_done} steps")
