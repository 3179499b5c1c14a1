"""A trainer and data of a few numbers, for the tests of the training loop."""

import math
import os
import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from PIL import Image

from pipelines.training.checkpoint import list_checkpoints, load_checkpoint
from pipelines.training.datasets import ImageBatches, ImageSet
from pipelines.training.loop import train


class TinyTrainer:
    """A linear layer that learns the sum of a picture; `noise` adds draws from every generator a step may use."""

    def __init__(self, accelerator, noise=0.0, on_step=None):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = torch.nn.Linear(12, 1)
        self.accelerator, self.noise, self.on_step = accelerator, noise, on_step
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self.steps = 0

    def step(self, batch):
        self.steps += 1
        if self.on_step:
            self.on_step(self.steps)
        inputs = batch["image"].flatten(1).float() / 255
        target = inputs.sum(dim=1, keepdim=True)
        inputs = inputs + self.noise * torch.randn(inputs.shape, generator=batch["generator"])
        inputs = inputs + self.noise * torch.randn(inputs.shape)  # the global generator, as dropout uses it
        loss = (self.model(inputs) - target).square().mean()
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.optimizer.step()
        return {"loss": loss.item()}

    def preview(self, batch):
        return Image.new("RGB", (4, 4))

    def state_dict(self):
        model = self.accelerator.unwrap_model(self.model)
        return {"model": model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state):
        self.accelerator.unwrap_model(self.model).load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


def tiny_data(accelerator):
    images = torch.randint(0, 256, (10, 3, 2, 2), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    dataset = ImageSet(images, torch.zeros(10, dtype=torch.int64), ())
    return ImageBatches(dataset, 4, 7, accelerator.process_index, accelerator.num_processes)


def run_tiny(output: Path, steps: int, noise: float = 0.0, on_step=None, config=None, **options) -> int:
    accelerator = Accelerator(cpu=True)
    return train(
        TinyTrainer(accelerator, noise, on_step),
        tiny_data(accelerator),
        accelerator,
        output=output,
        config=config or {"lr": 1e-2},
        steps=steps,
        seed=3,
        **options,
    )


def newest_state(output: Path):
    return load_checkpoint(list_checkpoints(output / "checkpoints")[-1])


if __name__ == "__main__":  # one of several processes
    output, diverging = Path(sys.argv[1]), sys.argv[2:] == ["diverge"]
    if diverging and os.environ["RANK"] == "1":
        step = TinyTrainer.step
        TinyTrainer.step = lambda self, batch: step(self, batch) | ({"loss": math.nan} if self.steps == 2 else {})
    try:
        run_tiny(output, steps=3)
    finally:
        torch.distributed.destroy_process_group()
