"""Training BigGAN: a generator of every class of a picture folder, and its discriminator."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn

from pipelines.losses.gan import hinge_discriminator, hinge_generator
from pipelines.networks.biggan import BigGANGenerator
from pipelines.networks.feature_discriminator import FeatureDiscriminator, block_ends
from pipelines.training.diff_augment import DiffAugment
from pipelines.training.distributed import descend
from pipelines.training.ema import EMA
from pipelines.training.gan_config import BigGANConfig
from pipelines.training.pretrained_gan import GAN, random_gan
from pipelines.training.preview import sheet
from pipelines.training.trainer_parts import autocast, load_states, states

STATISTICS_BATCHES = 32
PREVIEW_CLASSES, PREVIEW_DRAWS = 12, 4


class BigGANTrainer:
    """Trains generator and projection discriminator with the hinge loss; driven by `training/loop.py`.

    Batch statistics are those of one process's share of the batch.

    Args:
        config: see `BigGANConfig`.
        num_classes: labels are below it.
        accelerator: decides device and processes.
        networks: to train, of the config's sizes; None: `initial_networks`.
        backbone: of an `OEFTPipeline`; its features get discriminators of their own beside the network's. It is copied
            and stays as it is. None: there are none.
    """

    def __init__(
        self,
        config: BigGANConfig,
        num_classes: int,
        accelerator: Accelerator,
        networks: GAN | None = None,
        backbone: nn.Module | None = None,
    ):
        self.config, self.num_classes, self.accelerator = config, num_classes, accelerator
        networks = networks or initial_networks(config, num_classes)
        self.generator, self.discriminator = networks.generator, networks.discriminator
        self.networks: dict[str, nn.Module] = {"generator": self.generator, "discriminator": self.discriminator}
        if backbone is not None:
            self.networks["feature_discriminator"] = initial_feature_discriminator(config, backbone)
        for network in self.networks.values():
            network.to(accelerator.device, memory_format=torch.channels_last).train()
        self.optimizers = {
            name: adam(network, config.lr_discriminator, config)
            for name, network in self.networks.items()
            if name != "generator"
        }
        self.optimizers["generator"] = adam(self.generator, config.lr_generator, config, config.embedding_rate)
        self.judges = [network for name, network in self.networks.items() if name != "generator"]
        self.ema = EMA(self.generator, config.ema_decay)
        self.steps_done = 0

    def step(self, batch: dict[str, Any]) -> dict[str, float]:
        """One step of each network on `{"image": (B, 3, H, W) uint8, "label": (B,), "generator"}`; losses by name."""
        config, source, device = self.config, batch["generator"], self.accelerator.device
        real = as_pictures(batch["image"], source if config.flip else None, device)
        real_labels, count = batch["label"].to(device), len(batch["label"])
        latent = torch.randn(count, config.latent_dim, generator=source).to(device)
        labels = torch.randint(self.num_classes, (count,), generator=source).to(device)
        seen, fake_seen = (
            DiffAugment.draw(config.augmentation, count, config.resolution, source, device) for _ in range(2)
        )
        precision = autocast(config.precision, device)
        with precision:
            fake = fake_seen(self.generator(latent, self.generator.embedding(labels)).float())

        self._train_judges(True)
        with precision:
            judged = self._judge(torch.cat([seen(real), fake.detach()]), torch.cat([real_labels, labels]))
        loss_real = sum(hinge_discriminator(logits[:count], real=True) for logits in judged)
        loss_fake = sum(hinge_discriminator(logits[count:], real=False) for logits in judged)
        descend(
            self.accelerator,
            loss_real + loss_fake,
            [optimizer for name, optimizer in self.optimizers.items() if name != "generator"],
        )

        self._train_judges(False)
        with precision:
            loss = sum(hinge_generator(logits) for logits in self._judge(fake, labels))
        # Discriminators that know nothing would only spoil a generator that has learned something.
        if self.steps_done >= config.discriminator_warmup:
            descend(self.accelerator, loss, [self.optimizers["generator"]])
        self.ema.update(self.generator)
        self.steps_done += 1
        values = (torch.stack([loss_real.detach(), loss_fake.detach(), loss.detach()]) / len(judged)).tolist()
        return dict(zip(("d_real", "d_fake", "g"), values, strict=True))

    def _judge(self, images: Tensor, labels: Tensor) -> list[Tensor]:
        """Logits by every discriminator, a batch each."""
        judged = [self.discriminator(images, labels)]
        if "feature_discriminator" in self.networks:
            judged += self.networks["feature_discriminator"](images)
        return judged

    def _train_judges(self, on: bool) -> None:
        for judge in self.judges:
            judge.requires_grad_(on)

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> Image.Image:
        """A column for each of some classes, drawn by the averaged generator."""
        del batch
        generator = self.result()
        source = torch.Generator().manual_seed(0)
        shown = torch.linspace(0, self.num_classes - 1, min(PREVIEW_CLASSES, self.num_classes)).long()
        embedding = generator.embedding(shown.to(self.accelerator.device))
        rows = []
        for _ in range(PREVIEW_DRAWS):
            latent = torch.randn(len(shown), self.config.latent_dim, generator=source)
            rows.append(generator(latent.to(self.accelerator.device), embedding))
        return sheet(rows)

    def result(self) -> BigGANGenerator:
        """A copy of the averaged generator, with batch statistics of its own."""
        return averaged_generator(self.ema, self.config.batch_size, self.num_classes, self.accelerator.device)

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimizers, average and step count."""
        return {
            "networks": states(self.networks),
            "optimizers": states(self.optimizers),
            "ema": self.ema.state_dict(),
            "steps_done": self.steps_done,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        load_states(self.networks, state["networks"])
        load_states(self.optimizers, state["optimizers"])
        self.ema.load_state_dict(state["ema"])
        self.steps_done = state["steps_done"]


def initial_networks(config: Any, num_classes: int) -> GAN:
    """Random weights of the config's sizes from its seed; the global state stays."""
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        return random_gan(config, num_classes)


def initial_feature_discriminator(config: BigGANConfig, backbone: nn.Module) -> FeatureDiscriminator:
    """Random weights from the config's seed; the global state stays."""
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        return FeatureDiscriminator(backbone, block_ends(backbone), config.resolution)


def averaged_generator(
    ema: EMA[BigGANGenerator], batch_size: int, num_classes: int, device: torch.device
) -> BigGANGenerator:
    """A copy of the averaged generator, with the batch statistics of its own draws, of every class equally often."""
    generator = copy.deepcopy(ema.module)

    def generate(source: torch.Generator) -> Tensor:
        latent = torch.randn(batch_size, generator.config["latent_dim"], generator=source).to(device)
        labels = torch.randint(num_classes, (batch_size,), generator=source).to(device)
        return generator(latent, generator.embedding(labels))

    collect_statistics(generator, generate)
    return generator


def adam(network: nn.Module, rate: float, config: Any, embedding_rate: float = 1.0) -> torch.optim.Adam:
    """Adam for all weights of a network, as BigGAN and DeepI2I have it.

    Args:
        network: see above.
        rate: learning rate.
        config: has `beta1`, `beta2` and `adam_epsilon`.
        embedding_rate: times `rate`: the learning rate of the network's `embedding`.
    """
    groups: list[dict[str, Any]] = [{"params": list(network.parameters())}]
    if embedding_rate != 1:
        embedding = network.get_parameter("embedding.weight")
        others = [weight for weight in groups[0]["params"] if weight is not embedding]
        groups = [{"params": others}, {"params": [embedding], "lr": embedding_rate * rate}]
    return torch.optim.Adam(groups, rate, (config.beta1, config.beta2), config.adam_epsilon, fused=True)


def as_pictures(images: Tensor, flips: torch.Generator | None, device: torch.device) -> Tensor:
    """(B, 3, H, W) uint8 to [-1, 1], channels last; with a generator half of them are mirrored by chance."""
    pictures = images.to(device).float() / 127.5 - 1
    if flips is not None:
        mirrored = (torch.rand(len(images), 1, 1, 1, generator=flips) < 0.5).to(device)
        pictures = torch.where(mirrored, pictures.flip(-1), pictures)
    return pictures.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def collect_statistics(generator: nn.Module, generate: Callable[[torch.Generator], object]) -> None:
    """Give a generator the batch statistics of its own weights, but for 3 %; it is in evaluation mode afterwards.

    An averaged generator has the running statistics of the one it follows, which are not its own ("standing
    statistics": BigGAN, arXiv 1809.11096, appendix B).

    Args:
        generator: to put right.
        generate: runs it on a batch, which it draws from the generator of random numbers that it is given. The draws
            are always the same.
    """
    source = torch.Generator().manual_seed(0)
    generator.train()
    for _ in range(STATISTICS_BATCHES):
        generate(source)
    generator.eval()
