"""`python -m pipelines train`: one subcommand for every trainer."""

from __future__ import annotations

import argparse
import sys

from pipelines.commands import (
    train_autoencoder,
    train_biggan,
    train_classifier,
    train_cut,
    train_deepi2i,
    train_sincut,
)


def add_parser(subparsers) -> None:
    """Add `train` and its methods to the command line."""
    parser = subparsers.add_parser("train", help="train networks on your pictures")
    methods = parser.add_subparsers(dest="trainer", metavar="TRAINER", required=True)
    train_classifier.add_parser(methods)
    train_cut.add_parser(methods)
    train_sincut.add_parser(methods)
    train_autoencoder.add_parser(methods)
    train_biggan.add_parser(methods)
    train_deepi2i.add_parser(methods)


def run(args: argparse.Namespace) -> int:
    """Run the chosen trainer.

    Returns:
        0 when it finished, 1 with one sentence when it failed, 130 when it was stopped and saved.

    Raises:
        UsageError: an option has a value that is not accepted.
    """
    import torch
    from torch import distributed

    from pipelines.training.checkpoint import TrainingError
    from pipelines.training.datasets import DatasetError

    # Vanishing gradients and averages are full of denormal numbers; a GAN's step takes almost twice as long with them.
    torch.set_flush_denormal(True)
    try:
        return args.run_method(args)
    except (TrainingError, DatasetError) as error:
        print(f"pipelines: {error}", file=sys.stderr)
        return 1
    finally:
        if distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()  # a process that ends with its group open may be aborted
