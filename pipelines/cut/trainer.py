"""Training CUT and FastCUT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor

from pipelines.cut.networks import PatchDiscriminator, ResnetGenerator
from pipelines.cut.training_config import CUTConfig, learning_rate_factor
from pipelines.losses.gan import lsgan
from pipelines.losses.patch_nce import patch_nce
from pipelines.networks.patch_sampler import PatchSampler, sample_places
from pipelines.training.distributed import average_gradients
from pipelines.training.ema import EMA
from pipelines.training.preview import sheet
from pipelines.training.unpaired import Side, as_batch, crop_and_flip, resize_tensor


class CUTTrainer:
    """Trains a generator by `lambda_gan * GAN + lambda_nce * PatchNCE` (CUT eq. 1-5); driven by `training/loop.py`.

    Args:
        config: see `CUTConfig`.
        accelerator: decides device and processes.
        steps_per_epoch: the schedule is counted in epochs.
        shown: pictures of the preview; None previews nothing but the batch at hand.
    """

    def __init__(
        self, config: CUTConfig, accelerator: Accelerator, steps_per_epoch: int, shown: Side | None = None
    ):
        self.config, self.accelerator, self.steps_per_epoch, self.shown = config, accelerator, steps_per_epoch, shown
        with torch.random.fork_rng():  # initial weights come from the config's seed, the global state stays
            torch.manual_seed(config.seed)
            self.generator = ResnetGenerator(
                base_channels=config.base_channels,
                num_blocks=config.num_blocks,
                antialias_down=config.antialias,
                antialias_up=config.antialias,
                gain=config.init_gain,
            )
            self.discriminator = PatchDiscriminator(
                base_channels=config.discriminator_channels, antialias=config.antialias, gain=config.init_gain
            )
            widths = self.generator.layer_channels()
            self.sampler = PatchSampler(
                tuple(widths[name] for name in config.nce_layers), config.embedding, config.init_gain
            )
        self.networks = {"generator": self.generator, "discriminator": self.discriminator, "sampler": self.sampler}
        for network in self.networks.values():
            network.to(accelerator.device, memory_format=torch.channels_last).train()
        self.optimizers = {
            name: torch.optim.Adam(network.parameters(), config.lr, (config.beta1, config.beta2), fused=True)
            for name, network in self.networks.items()
        }
        self.ema = EMA(self.generator, config.ema_decay)
        self.steps_done = 0
        self._judge = self.discriminator.forward
        if config.compile:
            self._translate, self._features, self._judge = (
                torch.compile(function, dynamic=False) for function in (self._translate, self._features, self._judge)
            )

    @property
    def epoch(self) -> int:
        """The running epoch, counted from 1."""
        return self.steps_done // self.steps_per_epoch + 1

    def step(self, batch: dict[str, Any]) -> dict[str, float]:
        """One step on `{"a": [(3, H, W) uint8, ...], "b": [...], "generator"}`; losses by name."""
        config, generator = self.config, batch["generator"]
        real_a, real_b = (self._crops(batch[name], generator) for name in ("a", "b"))
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
        config = self.config
        self._set_learning_rate()
        source = torch.cat([real_a, real_b]) if config.nce_identity else real_a
        with self._autocast():
            translated, keys = self._translate(source.flip(-1) if flipped else source)
        fake = translated[: len(real_a)]

        self.discriminator.requires_grad_(True)
        with self._autocast():
            judged = self._judge(torch.cat([fake.detach(), real_b]))
        loss_fake, loss_real = lsgan(judged[: len(fake)], real=False), lsgan(judged[len(fake) :], real=True)
        self._descend(0.5 * (loss_fake + loss_real), ["discriminator"])

        self.discriminator.requires_grad_(False)
        with self._autocast():
            loss_gan = lsgan(self._judge(fake), real=True)
            queries = self._features(translated)
            if flipped:
                queries = [features.flip(-1) for features in queries]
                with torch.no_grad():
                    keys = self._features(source)
            keys = [features.detach() for features in keys]
        nce = self._contrast(queries, keys, len(real_a), generator, places)
        loss = config.lambda_gan * loss_gan + config.lambda_nce * sum(nce) / len(nce)
        self._descend(loss, ["generator", "sampler"])

        record = {"d_fake": loss_fake, "d_real": loss_real, "g_gan": loss_gan, "nce": nce[0]}
        record |= {"nce_identity": nce[1]} if config.nce_identity else {}
        values = torch.stack([value.detach() for value in (*record.values(), loss)]).tolist()  # one wait for a GPU
        return dict(zip((*record, "g"), values, strict=True))

    def _translate(self, source: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The result, and the input's features on the way: they are what a second pass of the encoder would give."""
        hidden, features = self.generator.encode(source, self.config.nce_layers)
        return self.generator.decode(hidden), features

    def _features(self, image: Tensor) -> list[Tensor]:
        return self.generator.encode(image, self.config.nce_layers, stop=True)[1]

    def _contrast(
        self,
        queries: list[Tensor],
        keys: list[Tensor],
        count: int,
        generator: torch.Generator | None,
        places: Sequence[Sequence[Tensor]] | None,
    ) -> list[Tensor]:
        """PatchNCE of the translated pictures, then of the identity pictures where there are such."""
        losses = []
        for number, start in enumerate(range(0, len(queries[0]), count)):
            where = places[number] if places is not None else self._sample(queries, generator)
            part = slice(start, start + count)
            with self._autocast():
                embedded = self.sampler([features[part] for features in queries], where)
                with torch.no_grad():
                    wanted = self.sampler([features[part] for features in keys], where)
            losses.append(patch_nce(embedded, wanted, self.config.temperature))
        return losses

    def _sample(self, maps: list[Tensor], generator: torch.Generator | None) -> list[Tensor]:
        sizes = [(features.shape[-2], features.shape[-1]) for features in maps]
        return sample_places(sizes, self.config.num_patches, generator, maps[0].device)

    def _descend(self, loss: Tensor, names: list[str]) -> None:
        for name in names:
            self.optimizers[name].zero_grad()
        loss.backward()
        for name in names:
            average_gradients(self.accelerator, self.networks[name].parameters())
            self.optimizers[name].step()

    def _set_learning_rate(self) -> None:
        factor = learning_rate_factor(self.epoch, self.config.epochs, self.config.decay_epochs)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self.config.lr * factor

    def _crops(self, pictures: list[Tensor], generator: torch.Generator) -> Tensor:
        size = self.config.crop_size
        if self.epoch > self.config.epochs:  # the authors end the jitter of sizes with the constant phase
            pictures = [resize_tensor(picture, size, self.config.resize) for picture in pictures]
        return as_batch([crop_and_flip(picture, size, generator) for picture in pictures], self.accelerator.device)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.accelerator.device.type, torch.bfloat16, enabled=self.config.precision == "bf16", cache_enabled=False
        )

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> Image.Image:
        """Pictures above their translations by the averaged generator: held-out ones where there are such."""
        size, device = self.config.crop_size, self.accelerator.device
        pictures = self.shown.pictures if self.shown else batch["a"]
        chosen = [pictures[index] for index in torch.linspace(0, len(pictures) - 1, min(8, len(pictures))).long()]
        centers = [
            picture[:, (picture.shape[1] - size) // 2 :, (picture.shape[2] - size) // 2 :][:, :size, :size]
            for picture in chosen
        ]
        images = as_batch(centers, device)
        return sheet([images, self.averaged(images)])

    def averaged(self, images: Tensor) -> Tensor:
        """Translate (B, 3, H, W) with the generator that is saved."""
        return self.result()(images)

    def result(self) -> ResnetGenerator:
        """The generator to save: the averaged one, or the trained one where nothing is averaged."""
        return self.ema.module if self.config.ema_decay else self.generator

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimizers, average and step count."""
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "ema": self.ema.state_dict(),
            "steps_done": self.steps_done,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.ema.load_state_dict(state["ema"])
        self.steps_done = state["steps_done"]
