"""Training SinCUT: one generator from two pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn

from pipelines.hub.precision import fast_precision
from pipelines.images.geometry import pad_to_multiple
from pipelines.losses.gan import nonsaturating, r1_penalty
from pipelines.losses.patch_nce import patch_nce
from pipelines.networks.patch_sampler import PatchSampler, sample_places
from pipelines.sincut.crops import random_crops
from pipelines.sincut.networks import SinCUTDiscriminator, SinCUTGenerator
from pipelines.sincut.settings import SinCUTSettings, learning_rate_factor
from pipelines.training.distributed import average_gradients
from pipelines.training.ema import EMA
from pipelines.training.preview import sheet

Network = TypeVar("Network", bound=nn.Module)

PREVIEW_SIDE = 448  # longest side of a preview, pixels


class PicturePair:
    """The data of a run for `training/loop.py`: every batch is the same two pictures, from which a step takes crops.

    Args:
        image: the picture to translate, RGB.
        exemplar: the picture of the other domain, RGB.
    """

    def __init__(self, image: Image.Image, exemplar: Image.Image):
        self.pictures = {"a": image, "b": exemplar}

    def next_batch(self) -> dict[str, Any]:
        """`{"a": picture, "b": picture}`."""
        return dict(self.pictures)

    def state_dict(self) -> dict[str, Any]:
        """Nothing: there is no position."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to do."""


class SinCUTTrainer:
    """Trains a generator by GAN, PatchNCE and identity loss on crops of two pictures (CUT sec. 4.3, appendix B).

    Args:
        settings: see `SinCUTSettings`.
        generator: draws the initial weights; a CPU generator.
        device: where to train.
        accelerator: of a run of several processes.

    Attributes:
        num_steps: length of the schedule; None as long as it is not known, which must end before its first half does.
        steps_done: steps so far.
    """

    def __init__(
        self,
        settings: SinCUTSettings,
        generator: torch.Generator,
        device: torch.device,
        accelerator: Accelerator | None = None,
    ):
        self.settings, self.device, self.accelerator = settings, device, accelerator
        self.num_steps = settings.num_steps
        self.steps_done = 0
        self.generator = _initialized(
            SinCUTGenerator,
            generator,
            base_channels=settings.base_channels,
            num_blocks=settings.num_blocks,
            inject_noise=settings.inject_noise,
        )
        self.discriminator = _initialized(
            SinCUTDiscriminator, generator, base_channels=settings.discriminator_channels, size=settings.tile_size
        )
        widths = self.generator.layer_channels()
        if unknown := [name for name in settings.nce_layers if name not in widths]:
            raise ValueError(f"`nce_layers` names {unknown[0]!r}; the generator has {', '.join(widths)}.")
        self.sampler = _initialized(
            PatchSampler,
            generator,
            channels=[widths[name] for name in settings.nce_layers],
            embedding=settings.embedding,
        )
        self.networks = {"generator": self.generator, "discriminator": self.discriminator, "sampler": self.sampler}
        for network in self.networks.values():
            network.to(device, memory_format=torch.channels_last).train()
        self.optimizers = {
            name: torch.optim.Adam(
                network.parameters(),
                settings.lr,
                (settings.beta1, settings.beta2),
                fused=device.type in ("cpu", "cuda"),
            )
            for name, network in self.networks.items()
        }
        self.ema = EMA(self.generator, settings.ema_decay)
        wanted = {"fp32": torch.float32, "bf16": torch.bfloat16, "auto": fast_precision(device)}
        self.precision = wanted[settings.precision]

    def step(self, batch: dict[str, Any]) -> dict[str, float]:
        """One step on crops of `{"a": picture, "b": picture, "generator"}`; losses by name."""
        settings, generator = self.settings, batch["generator"]
        processes = self.accelerator.num_processes if self.accelerator else 1
        count = settings.batch_size // processes
        real_a, real_b = (
            random_crops(
                batch[name],
                count,
                settings.crop_size,
                generator,
                zoom=settings.zoom,
                smallest_zoom=settings.smallest_zoom,
            ).to(self.device)
            for name in ("a", "b")
        )
        losses = self.optimize(real_a, real_b, generator)
        self.ema.update(self.generator)
        return losses

    def optimize(
        self,
        real_a: Tensor,
        real_b: Tensor,
        generator: torch.Generator | None = None,
        places: Sequence[Sequence[Tensor]] | None = None,
        noise: Tensor | None = None,
    ) -> dict[str, float]:
        """One step of the discriminator, then one of generator and sampler together.

        Args:
            real_a: crops (B, 3, H, W) of the picture to translate, in [-1, 1].
            real_b: crops of the exemplar, likewise.
            generator: source of places and noise; a CPU generator.
            places: the places themselves instead: for `real_a` and for `real_b` one tensor a layer.
            noise: (2 * B, 1, H, W), the generator's noise itself instead.

        Returns:
            Losses by name, without their weights; "g" is what the generator minimizes, weights included. "r1" counts
            for the steps until the next penalty, in which it is 0.
        """
        settings, count = self.settings, len(real_a)
        with torch.enable_grad(), torch.autocast(self.device.type, enabled=False):  # a caller's modes do not reach in
            self._set_learning_rate()
            source = torch.cat([real_a, real_b])
            with self._autocast():
                hidden, keys = self.generator.encode(source, settings.nce_layers)
                translated = self.generator.decode(hidden, noise, generator if noise is None else None).float()
            fake, identity = translated[:count], translated[count:]

            record = self._improve_discriminator(self._tiles(fake.detach()), self._tiles(real_b))

            self.discriminator.requires_grad_(False)
            with self._autocast():
                loss_gan = nonsaturating(self.discriminator(self._tiles(fake)), real=True)
                queries = self.generator.encode(translated, settings.nce_layers, stop=True)[1]
            nce = [
                self._contrast(queries, keys, slice(start, start + count), generator, given)
                for start, given in zip((0, count), places or (None, None), strict=True)
            ]
            loss_identity = F.l1_loss(identity, real_b)
            loss = (
                settings.lambda_gan * loss_gan
                + settings.lambda_nce * (nce[0] + nce[1]) / 2
                + settings.lambda_identity * loss_identity
            )
            self._descend(loss, ["generator", "sampler"])
        self.steps_done += 1

        record |= {"g_gan": loss_gan, "nce": nce[0], "nce_identity": nce[1], "identity": loss_identity, "g": loss}
        values = torch.stack([value.detach() for value in record.values()]).tolist()  # one wait for a GPU
        return dict(zip(record, values, strict=True))

    def _improve_discriminator(self, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        """One step of the discriminator on tiles; its losses."""
        settings = self.settings
        self.discriminator.requires_grad_(True)
        if self.steps_done % settings.r1_every:
            with self._autocast():
                logits_fake, logits_real = self.discriminator(torch.cat([fake, real])).chunk(2)
            r1 = torch.zeros((), device=self.device)
        else:
            with self._autocast():
                logits_fake = self.discriminator(fake)
            real.requires_grad_(True)
            logits_real = self.discriminator(real)  # in fp32: the penalty is differentiated twice
            r1 = settings.r1_every * r1_penalty(logits_real, real)
        losses = {
            "d_fake": nonsaturating(logits_fake, real=False),
            "d_real": nonsaturating(logits_real, real=True),
            "r1": r1,
        }
        loss = 0.5 * (losses["d_fake"] + losses["d_real"]) + 0.5 * settings.lambda_r1 * r1
        self._descend(loss, ["discriminator"])
        return losses

    def _contrast(
        self,
        queries: list[Tensor],
        keys: list[Tensor],
        part: slice,
        generator: torch.Generator | None,
        places: Sequence[Tensor] | None,
    ) -> Tensor:
        """PatchNCE of a part of the crops: one place a crop, and the other crops' places are the negatives."""
        if places is None:
            sizes = [(features.shape[-2], features.shape[-1]) for features in queries]
            places = sample_places(sizes, 1, generator, self.device)
        with self._autocast():
            embedded = self.sampler([features[part] for features in queries], places)
            with torch.no_grad():
                wanted = self.sampler([features[part] for features in keys], places)
        return patch_nce(embedded, wanted, self.settings.temperature, across_batch=True)

    def _tiles(self, crops: Tensor) -> Tensor:
        """Cut crops into tiles: (B, 3, H, W) to (B * tiles, 3, tile_size, tile_size)."""
        side = self.settings.tile_size
        tiles = crops.unfold(2, side, side).unfold(3, side, side)  # [B, 3, rows, columns, side, side]
        return tiles.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)

    def _descend(self, loss: Tensor, names: list[str]) -> None:
        for name in names:
            self.optimizers[name].zero_grad()
        loss.backward()
        for name in names:
            if self.accelerator is not None:
                average_gradients(self.accelerator, self.networks[name].parameters())
            self.optimizers[name].step()

    def _set_learning_rate(self) -> None:
        factor = learning_rate_factor(self.steps_done + 1, self.num_steps)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self.settings.lr * factor

    def _autocast(self) -> torch.autocast:
        bf16 = self.precision == torch.bfloat16
        return torch.autocast(self.device.type, torch.bfloat16, enabled=bf16, cache_enabled=False)

    def preview(self, batch: dict[str, Any]) -> Image.Image:
        """The whole picture, made small, beside its translation."""
        picture = small(batch["a"])
        return sheet([torch.cat([picture, self.translated(picture).cpu()])])

    @torch.no_grad()
    def translated(self, picture: Tensor) -> Tensor:
        """Translate (1, 3, H, W) in [-1, 1] by the generator that will be the result, quickly: (1, 3, H, W)."""
        network = self.result()
        padded, _ = pad_to_multiple(picture.to(self.device), network.multiple)
        with self._autocast():
            image = network(padded).float()
        return image[..., : picture.shape[-2], : picture.shape[-1]].clamp(-1, 1)

    def result(self) -> SinCUTGenerator:
        """The generator to keep: the averaged one, or the trained one where nothing is averaged."""
        return self.ema.module if self.settings.ema_decay else self.generator

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


def small(picture: Image.Image) -> Tensor:
    """The picture as (1, 3, H, W) in [-1, 1], its longer side `PREVIEW_SIDE` pixels at most."""
    reduced = picture.copy()
    reduced.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(reduced).copy()).permute(2, 0, 1)[None].float() / 127.5 - 1


def _initialized(network_class: type[Network], generator: torch.Generator, **config: Any) -> Network:
    """A network whose weights are drawn from `generator` alone; the global random state is not touched.

    StyleGAN2's layers start with weights of variance one, the projection of PatchNCE as in CUT. All biases are zero.
    """
    with torch.device("meta"):
        network = network_class(**config)
    network.to_empty(device="cpu")
    for parameter in network.parameters():
        if parameter.ndim == 1:
            nn.init.zeros_(parameter)
        elif isinstance(network, PatchSampler):
            nn.init.xavier_normal_(parameter, network.config["gain"], generator=generator)
        else:
            nn.init.normal_(parameter, generator=generator)
    return network
