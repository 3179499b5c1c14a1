"""Training DeepI2I, from a pretrained GAN or from scratch."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn

from pipelines.deepi2i.losses import reconstruction
from pipelines.deepi2i.training_config import DeepI2IConfig
from pipelines.deepi2i.transfer import DeepI2INetworks
from pipelines.losses.gan import hinge_discriminator, hinge_generator, nonsaturating
from pipelines.training.checkpoint import TrainingError
from pipelines.training.datasets import ImageSet
from pipelines.training.diff_augment import DiffAugment
from pipelines.training.distributed import update
from pipelines.training.ema import EMA
from pipelines.training.gan import adam, as_pictures, collect_statistics
from pipelines.training.preview import sheet
from pipelines.training.trainer_parts import autocast, load_states, states

PREVIEW_INPUTS, PREVIEW_CLASSES = 10, 5


@dataclass(frozen=True)
class Draw:
    """What is drawn for one forward pass.

    Attributes:
        real: (B, 3, H, W) in [-1, 1].
        real_labels: their classes, (B,).
        sources: pictures to translate, (B, 3, H, W).
        labels: classes to translate them into, (B,).
        latent: (B, latent_dim).
        augment_real: what happens to `real` before the discriminator.
        augment_fake: what happens to sources and translations before it, to both alike.
    """

    real: Tensor
    real_labels: Tensor
    sources: Tensor
    labels: Tensor
    latent: Tensor
    augment_real: DiffAugment
    augment_fake: DiffAugment


class DeepI2ITrainer:
    """Trains by the conditional adversarial loss and reconstruction (DeepI2I eq. 1-4); driven by `training/loop.py`.

    Phase 1 trains adaptor and discriminator, phase 2 the generator too; the encoder is frozen unless the config says
    otherwise. Batch statistics are those of one process's share of the batch.

    Args:
        config: see `DeepI2IConfig`.
        networks: to train; see `pipelines.deepi2i.transfer.begin`.
        pictures: to train on; the batch statistics of the averaged generator are those of their translations.
        accelerator: decides device and processes.
        shown: pictures of the previews; None previews those to train on.

    Raises:
        TrainingError: a process's share of the batch cannot be divided into equal parts.
    """

    def __init__(
        self,
        config: DeepI2IConfig,
        networks: DeepI2INetworks,
        pictures: ImageSet,
        accelerator: Accelerator,
        shown: ImageSet | None = None,
    ):
        self.config, self.accelerator, self.pictures, self.shown = config, accelerator, pictures, shown or pictures
        if config.batch_size % (accelerator.num_processes * config.accumulate):
            raise TrainingError(
                f"batch_size {config.batch_size} is not a multiple of the {accelerator.num_processes} processes times "
                f"accumulate, {config.accumulate}"
            )
        self.encoder, self.adaptor = networks.encoder, networks.adaptor
        self.generator, self.discriminator = networks.generator, networks.discriminator
        self.networks: dict[str, nn.Module] = vars(networks).copy()
        rates = {"generator": config.lr_generator}
        for network in self.networks.values():
            network.to(accelerator.device, memory_format=torch.channels_last)
        self.optimizers = {
            name: adam(network, rates.get(name, config.lr_discriminator), config)
            for name, network in self.networks.items()
            if name != "encoder" or config.train_encoder
        }
        followed = [name for name in self.optimizers if name != "discriminator"]
        self.averages = {name: EMA(self.networks[name], config.ema_decay) for name in followed}
        self.level_weights = dict(zip(config.levels, config.level_weights, strict=True))
        self.reconstruction_weights = dict(zip(config.levels, config.reconstruction_weights, strict=True))
        self.num_classes = self.generator.config["num_classes"]
        self.steps_done = 0

    @property
    def phase(self) -> int:
        """1: adaptor and discriminator are trained; 2: the generator too."""
        return 1 if self.steps_done < self.config.adaptor_steps else 2

    def step(self, batch: dict[str, Any]) -> dict[str, float]:
        """One step of each network on `{"image": (B, 3, H, W) uint8, "label": (B,), "generator"}`; losses by name.

        The pictures are the discriminator's real ones, and, in another order, the sources of the translations.
        """
        real = as_pictures(batch["image"], batch["generator"] if self.config.flip else None, self.accelerator.device)
        parts = _parts(self.config.accumulate, real, batch["label"].to(real.device), real.roll(1, dims=0))
        draws = [[self._draw(*part, batch["generator"]) for part in parts] for _ in range(2)]
        losses = self.optimize(*draws)
        for name, average in self.averages.items():
            average.update(self.networks[name])
        self.steps_done += 1
        return losses

    def optimize(self, for_discriminator: Sequence[Draw], for_others: Sequence[Draw]) -> dict[str, float]:
        """One step of the discriminator, then one of what is trained against it.

        Args:
            for_discriminator: gradients are accumulated over these.
            for_others: the same for the others.

        Returns:
            Losses by name, means over the draws.
        """
        self._set_modes()
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        first = [self._accumulate(self._judge(draw), len(for_discriminator)) for draw in for_discriminator]
        update(self.accelerator, [self.optimizers["discriminator"]])

        self.discriminator.requires_grad_(False)
        second = [self._accumulate(self._translate(draw), len(for_others)) for draw in for_others]
        trained = {name for name in self.optimizers if name != "discriminator"}
        trained -= {"generator"} if self.phase == 1 else set()
        update(self.accelerator, [self.optimizers[name] for name in sorted(trained)])
        return {
            name: sum(losses[name] for losses in found) / len(found) for found in (first, second) for name in found[0]
        }

    def _accumulate(self, losses: dict[str, Tensor], count: int) -> dict[str, float]:
        """Add the gradients of a share of a step's losses."""
        (sum(losses.values()) / count).backward()
        values = torch.stack([value.detach() for value in losses.values()]).tolist()  # one wait for a GPU
        return dict(zip(losses, values, strict=True))

    def _judge(self, draw: Draw) -> dict[str, Tensor]:
        """The discriminator's losses."""
        with torch.no_grad():
            fake = self._fake(draw)
        with autocast(self.config.precision, self.accelerator.device):
            features = self.discriminator.trunk(torch.cat([draw.augment_real(draw.real), fake]))
            logits = self.discriminator.judge(features, torch.cat([draw.real_labels, draw.labels]))
        real, fake = logits.split(len(draw.real))
        return {"d_real": self._adversarial(real, real=True), "d_fake": self._adversarial(fake, real=False)}

    def _translate(self, draw: Draw) -> dict[str, Tensor]:
        """The losses of encoder, adaptor and generator."""
        fake = self._fake(draw)
        with autocast(self.config.precision, self.accelerator.device):
            # In evaluation mode: sources and translations are seen by the same weights, normalized alike.
            self.discriminator.eval()
            with torch.no_grad():
                wanted = self.discriminator.trunk(draw.augment_fake(draw.sources))
            self.discriminator.train()
            features = self.discriminator.trunk(fake)
            logits = self.discriminator.judge(features, draw.labels)
        adversarial = (
            hinge_generator(logits) if self.config.adversarial == "hinge" else nonsaturating(logits, real=True)
        )
        squared = self.config.squared_reconstruction
        kept = reconstruction(wanted, features, self.reconstruction_weights, squared=squared)
        return {"adversarial": adversarial, "reconstruction": kept}

    def _fake(self, draw: Draw) -> Tensor:
        """Translations as the discriminator sees them, (B, 3, H, W) in fp32."""
        with autocast(self.config.precision, self.accelerator.device):
            added = weighted(self.adaptor(self.encoder(draw.sources)), self.level_weights)
            fake = self.generator(draw.latent, self.generator.embedding(draw.labels), added)
        return draw.augment_fake(fake.float())

    def _draw(self, real: Tensor, labels: Tensor, sources: Tensor, source: torch.Generator) -> Draw:
        count, device, kinds = len(real), real.device, self.config.augmentation
        return Draw(
            real,
            labels,
            sources,
            torch.randint(self.num_classes, (count,), generator=source).to(device),
            torch.randn(count, self.generator.config["latent_dim"], generator=source).to(device),
            *(DiffAugment.draw(kinds, count, real.shape[-1], source, device) for _ in range(2)),
        )

    def _set_modes(self) -> None:
        """What is frozen in this phase gets no gradients and, with `freeze_statistics`, keeps its statistics."""
        frozen = {"encoder": not self.config.train_encoder, "generator": self.phase == 1}
        for name, network in self.networks.items():
            still = frozen.get(name, False)
            network.train(not (still and self.config.freeze_statistics))
            network.requires_grad_(not still)

    def _adversarial(self, logits: Tensor, real: bool) -> Tensor:
        return (hinge_discriminator if self.config.adversarial == "hinge" else nonsaturating)(logits, real)

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> Image.Image:
        """Pictures in the top row; a row for each of some classes below, by the averaged networks."""
        del batch
        networks, device = self.results(), self.accelerator.device
        generator = networks.generator
        places = torch.linspace(0, len(self.shown.images) - 1, min(PREVIEW_INPUTS, len(self.shown.images))).long()
        images = as_pictures(self.shown.images[places], None, device)
        added = weighted(networks.adaptor(networks.encoder(images)), self.level_weights)
        latent = torch.randn(1, generator.config["latent_dim"], generator=torch.Generator().manual_seed(0))
        latent = latent.expand(len(images), -1).to(device)
        rows = [images]
        for label in torch.linspace(0, self.num_classes - 1, min(PREVIEW_CLASSES, self.num_classes)).long():
            embedding = generator.embedding(label.to(device)).expand(len(images), -1)
            rows.append(generator(latent, embedding, added))
        return sheet(rows)

    @torch.no_grad()
    def results(self) -> DeepI2INetworks:
        """Copies of all networks, averages where there are such, ready for inference."""
        followed = {name: average.module for name, average in self.averages.items()}
        networks = DeepI2INetworks(**copy.deepcopy({**self.networks, **followed}))
        for network in vars(networks).values():
            network.eval().requires_grad_(False)

        def generate(source: torch.Generator) -> Tensor:
            count, generator = self.config.batch_size, networks.generator
            places = torch.randint(len(self.pictures.images), (count,), generator=source)
            images = as_pictures(self.pictures.images[places], None, self.accelerator.device)
            latent = torch.randn(count, generator.config["latent_dim"], generator=source).to(images.device)
            labels = torch.randint(self.num_classes, (count,), generator=source).to(images.device)
            added = weighted(networks.adaptor(networks.encoder(images)), self.level_weights)
            return generator(latent, generator.embedding(labels), added)

        collect_statistics(networks.generator, generate)
        return networks

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimizers, averages and step count."""
        return {
            "networks": states(self.networks),
            "optimizers": states(self.optimizers),
            "averages": states(self.averages),
            "steps_done": self.steps_done,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        load_states(self.networks, state["networks"])
        load_states(self.optimizers, state["optimizers"])
        load_states(self.averages, state["averages"])
        self.steps_done = state["steps_done"]


def weighted(features: Mapping[int, Tensor], weights: Mapping[int, float]) -> dict[int, Tensor]:
    """Every level times its weight w_l (DeepI2I eq. 5)."""
    return {level: weights[level] * each for level, each in features.items()}


def _parts(count: int, *tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Tensors of one batch in `count` parts of about the same size."""
    return list(zip(*(tensor.tensor_split(count) for tensor in tensors), strict=True))
