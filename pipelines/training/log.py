"""The written record of a run: JSON lines, preview pictures, and TensorBoard where it is installed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

try:
    from torch.utils.tensorboard import SummaryWriter
except ImportError:
    SummaryWriter = None


class TrainingLog:
    """Append to `folder/log.jsonl`, one JSON object a line, and mirror it to TensorBoard.

    Args:
        folder: output folder of the run; made if missing.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.board = SummaryWriter(str(folder / "tensorboard")) if SummaryWriter else None

    def write(self, step: int, values: Mapping[str, float | str]) -> None:
        """Record `values` for `step`; numbers also go to TensorBoard under their own name."""
        with open(self.folder / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        if self.board:
            for name, value in values.items():
                if not isinstance(value, str):
                    self.board.add_scalar(name, value, step)

    def preview(self, step: int, image: Image.Image) -> None:
        """Keep a preview picture as `previews/step-<step>.png`."""
        folder = self.folder / "previews"
        folder.mkdir(exist_ok=True)
        image.save(folder / f"step-{step:08d}.png")
        if self.board:
            self.board.add_image("preview", np.asarray(image), step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close TensorBoard's file."""
        if self.board:
            self.board.close()
