"""Folders of class folders, as the commands that train on classes read them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelerate import Accelerator

    from pipelines.training.datasets import ImageBatches, ImageSet


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which pictures to train on."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders that hold one folder per class")
    parser.add_argument("--exclude", nargs="*", default=[], metavar="GLOB", help="class folders to leave out")
    parser.add_argument(
        "--held-out", type=float, default=0.1, metavar="X", help="share of each class kept apart (default: 0.1)"
    )
    parser.add_argument(
        "--split-seed", type=int, default=0, metavar="N", help="which pictures those are (default: 0); see split.json"
    )


class ClassFolders:
    """The pictures of `add_data_options`, split; `split.json` in the run's folder says which is which.

    Args:
        args: what the command line said.
        size: side of the center squares in pixels.
        accelerator: of the run.

    Attributes:
        class_names: sorted; the label of a picture is its class's position.
        train: pictures to train on.
        held_out: the others.

    Raises:
        DatasetError: a folder holds no pictures, or the split leaves a side empty.
    """

    def __init__(self, args: argparse.Namespace, size: int, accelerator: Accelerator):
        from pipelines.training.datasets import find_labeled_images, load_images, split_held_out, write_split

        files = find_labeled_images(args.data, args.exclude)
        self.class_names = sorted({file.class_name for file in files})
        self._train_files, held_out_files = split_held_out(files, args.held_out, args.split_seed)
        self.train: ImageSet = load_images(self._train_files, self.class_names, size)
        self.held_out: ImageSet = load_images(held_out_files, self.class_names, size)
        if accelerator.is_main_process:
            for sentence in self.train.skipped + self.held_out.skipped:
                print(f"pipelines: {sentence}", file=sys.stderr)
            counts = f"{len(self.train.labels)} pictures of {len(self.class_names)} classes"
            print(f"{counts}, {len(self.held_out.labels)} held out")
            args.output.mkdir(parents=True, exist_ok=True)
            write_split(args.output / "split.json", self._train_files, held_out_files, args.split_seed)

    def batches(self, config: Any, accelerator: Accelerator) -> ImageBatches:
        """Batches to train on: as the pictures are, or balanced over classes."""
        from pipelines.training.balanced import BalancedBatches
        from pipelines.training.datasets import ImageBatches

        kind = BalancedBatches if config.balanced else ImageBatches
        return kind(self.train, config.batch_size, config.seed, accelerator.process_index, accelerator.num_processes)

    def record(self) -> dict[str, Any]:
        """What of the data decides the outcome of a run."""
        from pipelines.training.datasets import describe_files

        return {"classes": self.class_names, "train_files": describe_files(self._train_files)}
