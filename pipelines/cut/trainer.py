"""Training CUT and FastCUT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn

from pipelines.cut.memory_bank import MemoryBank
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
from pipelines.losses.patch_nce import patch_nce
from pipelines.networks.patch_sampler import PatchSampler, sample_places
from pipelines.training.distributed import descend
from pipelines.training.ema import EMA
from pipelines.training.preview import sheet
from pipelines.training.trainer_parts import autocast, load_states, states
from pipelines.training.unpaired import Side, center_crops


class CUTTrainer:
    """Trains a generator by `lambda_gan * GAN + lambda_nce * PatchNCE` (CUT eq. 1-5); driven by `training/loop.py`.

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
            self.networks = _build_networks(config)
        for network in self.networks.values():
            network.to(accelerator.device, memory_format=torch.channels_last).train()
        self.generator, self.discriminator, self.sampler = (
            self.networks[name] for name in ("generator", "discriminator", "sampler")
        )
        self.optimizers = {name: build_optimizer(network, config) for name, network in self.networks.items()}
        self.ema = EMA(self.generator, config.ema_decay)
        self.steps_done = 0

        # What embeds the input pictures, and the negatives that it leaves behind: one bank a side and layer.
        self.key_encoder, self.key_sampler = self.generator, self.sampler
        self.momentum: dict[str, EMA] = {}
        self.banks: list[list[MemoryBank]] = []
        if not config.share_encoder:
            self.key_encoder, self.key_sampler = self.networks["key_encoder"], self.networks["key_sampler"]
        if config.negatives == "external":
            self.momentum = {
                name: EMA(self.networks[name], config.bank_momentum, warm_up=False)
                for name in ("generator", "sampler")
            }
            self.key_encoder, self.key_sampler = (average.module for average in self.momentum.values())
            self.banks = [
                [MemoryBank(config.bank_size, config.embedding, accelerator.device) for _ in config.nce_layers]
                for _ in range(2 if config.nce_identity else 1)
            ]

        compiled = _compile if config.compile else _as_it_is
        self._translate, self._features = compiled(_translate), compiled(_features)
        self._judge = compiled(self.discriminator.forward)

    @property
    def epoch(self) -> int:
        """The running epoch, counted from 1."""
        return self.steps_done // self.steps_per_epoch + 1

    def step(self, batch: dict[str, Any]) -> dict[str, float]:
        """One step on `{"a": [(3, H, W) uint8, ...], "b": [...], "generator"}`; losses by name."""
        config, generator = self.config, batch["generator"]
        real_a, real_b = (
            training_crops(batch[side], config, self.epoch, generator, self.accelerator.device) for side in "ab"
        )
        flipped = config.flip_equivariance and bool(torch.rand((), generator=generator) < 0.5)
        losses = self.optimize(real_a, real_b, flipped, generator)
        self.ema.update(self.generator)
        self.steps_done += 1
        return losses

    def optimize(
        self,
        real_a: Tensor,
        real_b: Tensor,
        flipped: bool,
        generator: torch.Generator | None = None,
        places: Sequence[Sequence[Tensor]] | None = None,
    ) -> dict[str, float]:
        """One step of the discriminator, then one of generator and sampler together.

        Args:
            real_a: (B, 3, H, W) in [-1, 1].
            real_b: the same of the other side.
            flipped: the generator sees mirrored pictures; its features are mirrored back before they are compared.
            generator: source of the sampled places.
            places: the places themselves instead: for every compared pair of pictures one tensor a layer.

        Returns:
            Losses by name.
        """
        config, count, precision = self.config, len(real_a), autocast(self.config.precision, self.accelerator.device)
        set_learning_rate(self.optimizers.values(), config, self.epoch)
        source = torch.cat([real_a, real_b]) if config.nce_identity else real_a
        with precision:
            translated, features = self._translate(
                self.generator, source.flip(-1) if flipped else source, config.nce_layers
            )
        fake = translated[:count]

        self.discriminator.requires_grad_(True)
        with precision:
            judged = self._judge(torch.cat([fake.detach(), real_b]))
        loss_fake, loss_real = lsgan(judged[:count], real=False), lsgan(judged[count:], real=True)
        descend(self.accelerator, 0.5 * (loss_fake + loss_real), [self.optimizers["discriminator"]])

        self.discriminator.requires_grad_(False)
        with precision:
            loss_gan = lsgan(self._judge(fake), real=True)
            queries = self._queries(translated, flipped)
            keys = self._keys(source, flipped, features)
        nce, embedded_keys = self._contrast(queries, keys, count, generator, places)
        loss = config.lambda_gan * loss_gan + config.lambda_nce * sum(nce) / len(nce)
        others = [optimizer for name, optimizer in self.optimizers.items() if name != "discriminator"]
        descend(self.accelerator, loss, others)
        self._remember(embedded_keys)

        record = {"d_fake": loss_fake, "d_real": loss_real, "g_gan": loss_gan, "nce": nce[0]}
        record |= {"nce_identity": nce[1]} if config.nce_identity else {}
        values = torch.stack([value.detach() for value in (*record.values(), loss)]).tolist()  # one wait for a GPU
        return dict(zip((*record, "g"), values, strict=True))

    def _queries(self, translated: Tensor, flipped: bool) -> list[Tensor]:
        """Features of the results, mirrored back."""
        image = translated if self.config.nce_to_decoder else translated.detach()
        features = self._features(self.generator, image, self.config.nce_layers)
        return [each.flip(-1) for each in features] if flipped else features

    def _keys(self, source: Tensor, flipped: bool, features: list[Tensor]) -> list[Tensor]:
        """Features of the inputs. `features`, which came up in the translation, are those of mirrored inputs."""
        if self.key_encoder is self.generator and not flipped:
            return [each.detach() for each in features]
        with torch.set_grad_enabled(not self.config.share_encoder):
            return self._features(self.key_encoder, source, self.config.nce_layers)

    def _contrast(
        self,
        queries: list[Tensor],
        keys: list[Tensor],
        count: int,
        generator: torch.Generator | None,
        places: Sequence[Sequence[Tensor]] | None,
    ) -> tuple[list[Tensor], list[list[Tensor]]]:
        """PatchNCE of the translated pictures, then of the identity pictures where there are such; and the keys."""
        config, losses, embedded_keys = self.config, [], []
        sizes = [(features.shape[-2], features.shape[-1]) for features in queries]
        for number, start in enumerate(range(0, len(queries[0]), count)):
            part = slice(start, start + count)
            where = (
                places[number] if places else sample_places(sizes, config.num_patches, generator, queries[0].device)
            )
            with autocast(config.precision, self.accelerator.device):
                embedded = self.sampler([features[part] for features in queries], where)
                with torch.set_grad_enabled(not config.share_encoder):
                    wanted = self.key_sampler([features[part] for features in keys], where)
            negatives = [bank.keys for bank in self.banks[number]] if self.banks else None
            losses.append(
                patch_nce(
                    embedded, wanted, config.temperature, negatives=negatives, train_keys=not config.share_encoder
                )
            )
            embedded_keys.append(wanted)
        return losses, embedded_keys

    def _remember(self, embedded_keys: list[list[Tensor]]) -> None:
        """Move the momentum networks on, and fill the banks with the keys of all processes."""
        for name, average in self.momentum.items():
            average.update(self.networks[name])
        for banks, keys in zip(self.banks, embedded_keys, strict=bool(self.banks)):
            for bank, each in zip(banks, keys, strict=True):
                bank.add(self.accelerator.gather(each))

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> Image.Image:
        """Pictures above their translations by the averaged generator: held-out ones where there are such."""
        pictures = self.shown.pictures if self.shown else batch["a"]
        images = center_crops(pictures, self.config.crop_size, self.accelerator.device)
        return sheet([images, self.ema.module(images)])

    def results(self) -> dict[str, ResnetGenerator]:
        """The averaged generator, by its direction: a2b."""
        return {"a2b": self.ema.module}

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimizers, averages, memory banks and step count."""
        state = {
            "networks": states(self.networks),
            "optimizers": states(self.optimizers),
            "ema": self.ema.state_dict(),
            "steps_done": self.steps_done,
        }
        if self.banks:
            banks = [[bank.state_dict() for bank in layers] for layers in self.banks]
            state |= {"momentum": states(self.momentum), "banks": banks}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        load_states(self.networks, state["networks"])
        load_states(self.optimizers, state["optimizers"])
        self.ema.load_state_dict(state["ema"])
        self.steps_done = state["steps_done"]
        if self.banks:
            load_states(self.momentum, state["momentum"])
            for banks, saved in zip(self.banks, state["banks"], strict=True):
                for bank, each in zip(banks, saved, strict=True):
                    bank.load_state_dict(each)


def _build_networks(config: CUTConfig) -> dict[str, nn.Module]:
    generator = build_generator(config)
    networks = {
        "generator": generator,
        "discriminator": build_discriminator(config),
        "sampler": _sampler(generator, config),
    }
    if not config.share_encoder:  # a whole generator, of which only the encoder is used
        networks |= {"key_encoder": build_generator(config), "key_sampler": _sampler(generator, config)}
    return networks


def _sampler(generator: ResnetGenerator, config: CUTConfig) -> PatchSampler:
    widths = generator.layer_channels()
    return PatchSampler(tuple(widths[name] for name in config.nce_layers), config.embedding, config.init_gain)


def _translate(generator: ResnetGenerator, source: Tensor, layers: Sequence[str]) -> tuple[Tensor, list[Tensor]]:
    """The result, and the input's features on the way: they are what a second pass of the encoder would give."""
    hidden, features = generator.encode(source, layers)
    return generator.decode(hidden), features


def _features(encoder: ResnetGenerator, image: Tensor, layers: Sequence[str]) -> list[Tensor]:
    return encoder.encode(image, layers, stop=True)[1]


def _compile(function: Callable) -> Callable:
    return torch.compile(function, dynamic=False)


def _as_it_is(function: Callable) -> Callable:
    return function
