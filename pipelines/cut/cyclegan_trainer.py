"""Training CycleGAN (Zhu et al., arXiv 1703.10593) on CUT's generator: the baseline of CUT."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import gather_object
from PIL import Image
from torch import Tensor

from pipelines.cut.image_pool import ImagePool
from pipelines.cut.networks import ResnetGenerator
from pipelines.cut.training_config import CUTConfig
from pipelines.cut.training_parts import (
    build_discriminator,
    build_generator,
    build_optimizer,
    set_learning_rate,
    training_crops,
)
from pipelines.losses.gan import lsgan
from pipelines.training.distributed import descend
from pipelines.training.ema import EMA
from pipelines.training.preview import sheet
from pipelines.training.trainer_parts import autocast, load_states, states
from pipelines.training.unpaired import Side, center_crops


class CycleGANTrainer:
    """Trains two generators, there and back, by `GAN + lambda_cycle * (cycle + lambda_identity * identity)`.

    Args:
        config: see `CUTConfig`.
        accelerator: decides device and processes.
        steps_per_epoch: the schedule is counted in epochs.
        shown: pictures of the preview; None previews the batch at hand.
    """

    def __init__(self, config: CUTConfig, accelerator: Accelerator, steps_per_epoch: int, shown: Side | None = None):
        self.config, self.accelerator, self.steps_per_epoch, self.shown = config, accelerator, steps_per_epoch, shown
        with torch.random.fork_rng():  # initial weights come from the config's seed, the global state stays
            torch.manual_seed(config.seed)
            self.generators = {"a2b": build_generator(config), "b2a": build_generator(config)}
            self.discriminators = {"a": build_discriminator(config), "b": build_discriminator(config)}
        self.networks = {**self.generators, **self.discriminators}
        for network in self.networks.values():
            network.to(accelerator.device, memory_format=torch.channels_last).train()
        self.optimizers = {name: build_optimizer(network, config) for name, network in self.networks.items()}
        self.ema = {name: EMA(generator, config.ema_decay) for name, generator in self.generators.items()}
        self.pools = {"a": ImagePool(config.pool_size), "b": ImagePool(config.pool_size)}
        self.steps_done = 0
        self._call = {name: network.forward for name, network in self.networks.items()}
        if config.compile:
            self._call = {name: torch.compile(forward, dynamic=False) for name, forward in self._call.items()}

    @property
    def epoch(self) -> int:
        """The running epoch, counted from 1."""
        return self.steps_done // self.steps_per_epoch + 1

    def step(self, batch: dict[str, Any]) -> dict[str, float]:
        """One step on `{"a": [(3, H, W) uint8, ...], "b": [...], "generator"}`; losses by name."""
        generator = batch["generator"]
        real_a, real_b = (
            training_crops(batch[side], self.config, self.epoch, generator, self.accelerator.device) for side in "ab"
        )
        losses = self.optimize(real_a, real_b, generator)
        for name, average in self.ema.items():
            average.update(self.generators[name])
        self.steps_done += 1
        return losses

    def optimize(self, real_a: Tensor, real_b: Tensor, generator: torch.Generator | None = None) -> dict[str, float]:
        """One step of both generators, then one of both discriminators.

        Args:
            real_a: (B, 3, H, W) in [-1, 1].
            real_b: the same of the other side.
            generator: source of the image pools' choices.

        Returns:
            Losses by name; those of the two directions are summed.
        """
        config, count, precision = self.config, len(real_a), autocast(self.config.precision, self.accelerator.device)
        set_learning_rate(self.optimizers.values(), config, self.epoch)
        zero = real_a.new_zeros(())

        for discriminator in self.discriminators.values():
            discriminator.requires_grad_(False)
        with precision:
            to_b = self._call["a2b"](torch.cat([real_a, real_b]) if config.lambda_identity else real_a)
            to_a = self._call["b2a"](torch.cat([real_b, real_a]) if config.lambda_identity else real_b)
            fake_b, fake_a = to_b[:count], to_a[:count]
            cycled_a, cycled_b = self._call["b2a"](fake_b), self._call["a2b"](fake_a)
            loss_gan = lsgan(self._call["b"](fake_b), real=True) + lsgan(self._call["a"](fake_a), real=True)
        loss_cycle = _distance(cycled_a, real_a) + _distance(cycled_b, real_b)
        loss_identity = zero
        if config.lambda_identity:
            loss_identity = _distance(to_b[count:], real_b) + _distance(to_a[count:], real_a)
        loss = loss_gan + config.lambda_cycle * (loss_cycle + config.lambda_identity * loss_identity)
        descend(self.accelerator, loss, [self.optimizers[name] for name in self.generators])

        loss_fake, loss_real = zero, zero
        for side, fake, real in (("b", fake_b, real_b), ("a", fake_a, real_a)):
            self.discriminators[side].requires_grad_(True)
            seen = self.pools[side].swap(fake, generator)
            with precision:
                judged = self._call[side](torch.cat([seen, real]))
            loss_fake = loss_fake + lsgan(judged[:count], real=False)
            loss_real = loss_real + lsgan(judged[count:], real=True)
        descend(
            self.accelerator, 0.5 * (loss_fake + loss_real), [self.optimizers[name] for name in self.discriminators]
        )

        record = {"d_fake": loss_fake, "d_real": loss_real, "g_gan": loss_gan, "cycle": loss_cycle}
        record |= {"identity": loss_identity, "g": loss}
        values = torch.stack([value.detach() for value in record.values()]).tolist()  # one wait for a GPU
        return dict(zip(record, values, strict=True))

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> Image.Image:
        """Pictures, their translations and the way back, by the averaged generators: held-out ones if there are."""
        pictures = self.shown.pictures if self.shown else batch["a"]
        images = center_crops(pictures, self.config.crop_size, self.accelerator.device)
        translated = self.ema["a2b"].module(images)
        return sheet([images, translated, self.ema["b2a"].module(translated)])

    def results(self) -> dict[str, ResnetGenerator]:
        """The averaged generators, by their directions: a2b, b2a."""
        return {name: average.module for name, average in self.ema.items()}

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimizers, averages, image pools of all processes, and step count; every process must call it."""
        return {
            "networks": states(self.networks),
            "optimizers": states(self.optimizers),
            "ema": states(self.ema),
            "pools": gather_object([states(self.pools)]),
            "steps_done": self.steps_done,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned; a process that was not there begins with empty pools."""
        load_states(self.networks, state["networks"])
        load_states(self.optimizers, state["optimizers"])
        load_states(self.ema, state["ema"])
        if self.accelerator.process_index < len(state["pools"]):
            for side, saved in state["pools"][self.accelerator.process_index].items():
                self.pools[side].load_state_dict(saved, self.accelerator.device)
        self.steps_done = state["steps_done"]


def _distance(image: Tensor, wanted: Tensor) -> Tensor:
    return F.l1_loss(image.float(), wanted)
