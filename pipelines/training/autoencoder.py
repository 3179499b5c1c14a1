"""A generator's start: trained as the decoder of a variational autoencoder (Kingma & Welling, arXiv 1312.6114).

A GAN that begins at random learns what its pictures are of from the discriminator alone. A decoder is told for every
picture what it ought to be, and learns the shapes in a fraction of the steps, blurred; a GAN that begins from it has
the details left to learn.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn

from pipelines.losses.perceptual import feature_distance
from pipelines.networks.biggan import BigGANGenerator
from pipelines.networks.feature_discriminator import block_ends
from pipelines.networks.split import START
from pipelines.training.autoencoder_config import SHALLOW, AutoencoderConfig, learning_rate_factor
from pipelines.training.distributed import descend
from pipelines.training.ema import EMA
from pipelines.training.gan import adam, as_pictures, averaged_generator, initial_networks
from pipelines.training.pretrained_gan import GAN
from pipelines.training.preview import sheet
from pipelines.training.trainer_parts import autocast, load_states, states

LOG_VARIANCE = (-8.0, 4.0)  # beyond it gradients of the divergence explode
PREVIEW_PICTURES = 8


class Encoder(nn.Module):
    """Picture to mean and log variance of its latent: q(z|x) of arXiv 1312.6114, a diagonal normal distribution.

    Args:
        resolution: side of the picture in pixels, a power of two above 4.
        base_channels: of the first map; every further one has twice as many.
        max_channels: no map has more.
        latent_dim: numbers in a latent.
    """

    def __init__(self, resolution: int, base_channels: int, max_channels: int, latent_dim: int):
        super().__init__()
        halvings = (resolution // START).bit_length() - 1
        widths = [3, *(min(base_channels << step, max_channels) for step in range(halvings))]
        layers: list[nn.Module] = []
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        layers += [nn.Conv2d(widths[-1], widths[-1], 3, padding=1), nn.LeakyReLU(0.2)]
        self.features = nn.Sequential(*layers)
        self.moments = nn.Linear(widths[-1] * START**2, 2 * latent_dim)
        nn.init.zeros_(self.moments.bias)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, (B, latent_dim) each in fp32, of pictures (B, 3, R, R) in [-1, 1]."""
        mean, log_variance = self.moments(self.features(image).flatten(1)).float().chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE)


class AutoencoderTrainer:
    """Trains encoder and generator on the L1 and a perceptual distance; driven by `training/loop.py`.

    The generator knows the class of a picture, the encoder does not see it: class and latent say different things.

    Args:
        config: see `AutoencoderConfig`.
        num_classes: labels are below it.
        accelerator: decides device and processes.
        backbone: of an `OEFTPipeline`; a copy of it, which stays as it is, sees the pictures.
        networks: whose generator is trained, of the config's sizes; None: `initial_networks`. The discriminator is
            left alone.

    Raises:
        ValueError: see `taps_of`.
    """

    def __init__(
        self,
        config: AutoencoderConfig,
        num_classes: int,
        accelerator: Accelerator,
        backbone: nn.Module,
        networks: GAN | None = None,
    ):
        self.config, self.num_classes, self.accelerator = config, num_classes, accelerator
        self.taps = taps_of(backbone, config.feature_taps)
        networks = networks or initial_networks(config, num_classes)
        self.generator, self.discriminator = networks.generator, networks.discriminator
        self.encoder = _initial_encoder(config)
        self.backbone = copy.deepcopy(backbone).float().eval().requires_grad_(False)
        self.networks: dict[str, nn.Module] = {"generator": self.generator, "encoder": self.encoder}
        for network in (*self.networks.values(), self.backbone):
            network.to(accelerator.device, memory_format=torch.channels_last)
        for network in self.networks.values():
            network.train()
        self.optimizer = adam(nn.ModuleList(self.networks.values()), config.lr, config)
        self.ema = EMA(self.generator, config.ema_decay)
        self.steps_done = 0

    def step(self, batch: dict[str, Any]) -> dict[str, float]:
        """One step on `{"image": (B, 3, H, W) uint8, "label": (B,), "generator"}`; losses by name."""
        config, source, device = self.config, batch["generator"], self.accelerator.device
        real = as_pictures(batch["image"], source if config.flip else None, device)
        labels = batch["label"].to(device)
        noise = torch.randn(len(labels), config.latent_dim, generator=source).to(device)
        with autocast(config.precision, device):
            mean, log_variance = self.encoder(real)
            latent = mean + noise * (log_variance / 2).exp()
            made = self.generator(latent, self.generator.embedding(labels)).float()
            distance = self._feature_distance(made, real)
        difference = (made - real).abs().mean()
        divergence = kl_divergence(mean, log_variance).mean()

        factor = learning_rate_factor(self.steps_done, config.steps, config.warmup_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * factor
        loss = difference + config.feature_weight * distance + config.kl_weight * divergence
        descend(self.accelerator, loss, [self.optimizer])
        self.ema.update(self.generator)
        self.steps_done += 1
        values = torch.stack([difference.detach(), distance.detach(), divergence.detach()]).tolist()
        return dict(zip(("l1", "features", "kl"), values, strict=True))

    def _feature_distance(self, made: Tensor, real: Tensor) -> Tensor:
        """Mean over taps of the mean absolute difference of the backbone's maps, a scalar."""
        with torch.no_grad():
            targets = self.backbone(real, taps=self.taps)
        maps = self.backbone(made, taps=self.taps)
        return torch.stack(
            [feature_distance(maps[tap].float(), targets[tap].float()).mean() for tap in self.taps]
        ).mean()

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> Image.Image:
        """Rows: pictures, what the averaged generator makes of their codes, and of latents drawn at random."""
        generator, device = self.result(), self.accelerator.device
        real = as_pictures(batch["image"][:PREVIEW_PICTURES], None, device)
        embedding = generator.embedding(batch["label"][:PREVIEW_PICTURES].to(device))
        self.encoder.eval()
        mean, _ = self.encoder(real)
        self.encoder.train()
        source = torch.Generator().manual_seed(0)
        draws = [torch.randn(len(real), self.config.latent_dim, generator=source).to(device) for _ in range(3)]
        return sheet([real, *(generator(latent, embedding) for latent in (mean, *draws))])

    def result(self) -> BigGANGenerator:
        """A copy of the averaged generator, with batch statistics of its own."""
        return averaged_generator(self.ema, self.config.batch_size, self.num_classes, self.accelerator.device)

    def state_dict(self) -> dict[str, Any]:
        """Generator, encoder, optimizer, average and step count."""
        return {
            "networks": states(self.networks),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.state_dict(),
            "steps_done": self.steps_done,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        load_states(self.networks, state["networks"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema.load_state_dict(state["ema"])
        self.steps_done = state["steps_done"]


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Of normal distributions from the standard one, summed over dimensions (arXiv 1312.6114, appendix B): (B,).

    Args:
        mean: (B, D).
        log_variance: (B, D).
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


def _initial_encoder(config: AutoencoderConfig) -> Encoder:
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        return Encoder(config.resolution, config.encoder_channels, config.max_channels, config.latent_dim)


def taps_of(backbone: Any, given: Sequence[str]) -> tuple[str, ...]:
    """The layers to compare at; "shallow": the last of every block of the backbone, but for the deepest block.

    Raises:
        ValueError: the backbone does not have one of them.
    """
    if tuple(given) != SHALLOW:
        for name in given:
            if name not in backbone.layers:
                raise ValueError(f"feature_taps names {name!r}; this backbone has {', '.join(backbone.layers)}")
        return tuple(given)
    return block_ends(backbone)[:-1] or block_ends(backbone)
