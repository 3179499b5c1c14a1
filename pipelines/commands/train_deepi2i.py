"""`python -m pipelines train deepi2i`: many-class translation, from a pretrained GAN or from scratch."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.commands import UsageError, train_biggan
from pipelines.commands.class_folders import ClassFolders, add_data_options
from pipelines.commands.deepi2i_card import model_card
from pipelines.commands.training_options import (
    add_config_options,
    add_run_options,
    config_from,
    exit_code,
    run_options,
)

if TYPE_CHECKING:
    from pipelines.deepi2i.trainer import DeepI2ITrainer
    from pipelines.deepi2i.training_config import DeepI2IConfig
    from pipelines.deepi2i.transfer import PretrainedGAN

OPTIONS = {
    "steps": "of training",
    "batch_size": "pictures a step, over all processes",
    "accumulate": "parts of a batch that pass one after the other, to save memory",
    "transfer": "what begins from --init; the others at random",
    "levels": "resolutions that the adaptor connects; those of a pipeline in --init stay",
    "level_weights": "w_l, one a level; those of a pipeline in --init stay",
    "reconstruction_weights": "alpha_l, one a level",
    "squared_reconstruction": "mean squared differences, as in the authors' code",
    "adversarial": "hinge or log",
    "adaptor_steps": "phase 1: adaptor and discriminator alone",
    "train_encoder": "as well; it is frozen otherwise",
    "freeze_statistics": "of frozen networks too",
    "lr_generator": "learning rate of Adam",
    "lr_discriminator": "learning rate of Adam, of encoder and adaptor too",
    "augmentation": "differentiable changes before the discriminator, or none",
    "flip": "mirror half of the pictures",
    "balanced": "every class equally often",
    "ema_decay": "of the averaged networks, which are saved",
    "precision": "bf16 or fp32",
    "seed": "of weights, order and draws",
}


def add_parser(methods) -> None:
    """Add `train deepi2i`."""
    from pipelines.deepi2i.training_config import PRESETS, DeepI2IConfig
    from pipelines.training.gan_config import BigGANConfig

    parser = methods.add_parser(
        "deepi2i",
        help="translate pictures into any of many classes",
        description="Train DeepI2I on folders of class folders, beginning from a GAN (`train biggan`, "
        "`convert biggan`) or from a DeepI2I pipeline; --preset scratch begins at random. Writes a pipeline folder, "
        "OUTPUT/pipeline, that DeepI2IPipeline.from_pretrained loads. The same command again goes on where it "
        "stopped.",
    )
    add_data_options(parser)
    parser.add_argument("--init", type=Path, metavar="FOLDER", help="GAN or DeepI2I pipeline to begin from")
    parser.add_argument("--preset", choices=PRESETS, default="transfer", help="settings to begin with")
    parser.add_argument(
        "--class-titles", type=Path, metavar="FILE", help="JSON object: what the app shows for the name of a class"
    )
    parser.add_argument("--license", metavar="NAME", help="of the weights, for their model card, such as cc-by-4.0")
    parser.add_argument("--half", action="store_true", help="write the networks in half precision")
    add_run_options(parser)
    add_config_options(parser, DeepI2IConfig, OPTIONS)
    sizes = parser.add_argument_group("networks, without --init")
    add_config_options(sizes, BigGANConfig, {name: train_biggan.OPTIONS[name] for name in train_biggan.ARCHITECTURE})
    parser.set_defaults(run_method=run)


def run(args: argparse.Namespace) -> int:
    """Train, and write the pipeline.

    Returns:
        0 when all steps are done, 130 when the run was stopped and saved.

    Raises:
        UsageError: `--init` is missing or must not be there, or `--class-titles` holds no titles of these classes.
    """
    import torch
    from accelerate import Accelerator

    from pipelines.deepi2i.trainer import DeepI2ITrainer
    from pipelines.deepi2i.transfer import begin, describe_adaptor, describe_discriminator
    from pipelines.hub.allocator import tune_allocator
    from pipelines.training.class_rows import describe_rows
    from pipelines.training.loop import train

    config = _config_of(args)
    tune_allocator()
    accelerator = Accelerator()
    with torch.random.fork_rng():  # initial weights come from the config's seed
        torch.manual_seed(config.seed)
        pretrained = _pretrained(args, config)
        data = ClassFolders(args, pretrained.generator.config["resolution"], accelerator)
        titles = _class_titles(args.class_titles, data.class_names)
        networks = begin(config, pretrained, data.class_names)
    if args.init and accelerator.is_main_process:
        print(describe_rows(pretrained.class_names, data.class_names, pretrained.generator.config["num_classes"]))
        for note in (describe_adaptor(config, pretrained), describe_discriminator(config, pretrained)):
            if note:
                print(note)
    trainer = DeepI2ITrainer(config, networks, data.train, accelerator, data.held_out)
    finished = train(
        trainer,
        data.batches(config, accelerator),
        accelerator,
        config={
            **{name: value for name, value in dataclasses.asdict(config).items() if name != "steps"},
            **data.record(),
            "init": args.init.resolve().name if args.init else None,
            "networks": {name: _sizes(network) for name, network in vars(networks).items()},
        },
        steps=config.steps,
        seed=config.seed,
        **run_options(args),
    )
    if accelerator.is_main_process:
        _write_result(args, trainer, data, titles)
    return exit_code(finished, config.steps, accelerator)


def _sizes(network) -> dict:
    return {name: value for name, value in network.config.items() if not name.startswith("_")}


def _config_of(args: argparse.Namespace) -> DeepI2IConfig:
    """The preset with what was given; a pipeline that is trained on keeps its levels and their weights."""
    from pipelines.deepi2i.level_factors import LEVELS
    from pipelines.deepi2i.training_config import DeepI2IConfig, settings_of
    from pipelines.deepi2i.transfer import read_level_weights

    weights = read_level_weights(args.init) if args.init and args.preset == "transfer" else {}
    levels = getattr(args, "levels", tuple(weights) or LEVELS)
    return config_from(args, DeepI2IConfig, settings_of(args.preset, levels, weights))


def _pretrained(args: argparse.Namespace, config: DeepI2IConfig) -> PretrainedGAN:
    """What to begin from; for a run from scratch a GAN of random weights, which says how large the networks are."""
    from pipelines.deepi2i.transfer import PretrainedGAN, read_pretrained
    from pipelines.training.gan_config import BigGANConfig
    from pipelines.training.pretrained_gan import random_gan

    sized = [name for name in train_biggan.ARCHITECTURE if name in vars(args)]
    if args.init is None:
        if "none" not in config.transfer:
            raise UsageError("--init is missing: a folder of `train biggan`; or --preset scratch begins at random.")
        return PretrainedGAN(**vars(random_gan(config_from(args, BigGANConfig), 1)))
    if sized:
        raise UsageError(f"--{sized[0].replace('_', '-')} is given, but --init says how large the networks are.")
    return read_pretrained(args.init)


def _class_titles(path: Path | None, class_names: list[str]) -> dict[str, str] | None:
    """The titles in a file, checked before the training."""
    from pipelines.deepi2i.class_titles import read_class_titles

    if path is None:
        return None
    try:
        titles = json.loads(path.read_text(encoding="utf-8"))
        read_class_titles(titles, class_names)
    except (OSError, ValueError) as error:
        raise UsageError(f"--class-titles: {path.name}: {error}") from error
    return titles


def _write_result(
    args: argparse.Namespace, trainer: DeepI2ITrainer, data: ClassFolders, titles: dict[str, str] | None
) -> None:
    from pipelines.deepi2i.pipeline import DeepI2IPipeline

    folder, networks = args.output / "pipeline", trainer.results()
    if args.half:
        for network in vars(networks).values():
            network.half()
    weights = {str(level): weight for level, weight in trainer.level_weights.items()}
    parts = networks.encoder, networks.adaptor, networks.generator
    pipe = DeepI2IPipeline(*parts, data.class_names, weights, titles)
    pipe.save_pretrained(folder)
    networks.discriminator.save_pretrained(args.output / "discriminator")
    record = {
        "steps": trainer.steps_done,
        "pictures": len(data.train.labels),
        "held_out": len(data.held_out.labels),
        "init": args.init.resolve().name if args.init else None,
        "config": dataclasses.asdict(trainer.config),
    }
    (args.output / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(model_card(folder.resolve(), args, record, data.class_names), encoding="utf-8")
    print(f"{folder}: the networks after {trainer.steps_done} steps")
