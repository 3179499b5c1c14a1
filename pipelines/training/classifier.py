"""Training a backbone on labeled pictures: classification, and dense correspondence between two views of a picture."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn

from pipelines.networks.vgg import VGGBackbone
from pipelines.training.augmentation import jitter_colors, random_crops, random_motions, warp_images
from pipelines.training.classifier_config import ClassifierConfig
from pipelines.training.datasets import ImageSet
from pipelines.training.dense import dense_contrast, matching_points, point_features
from pipelines.training.ema import EMA


class Classifier(nn.Module):
    """A backbone and a linear head on its deepest tap, averaged over the picture.

    Args:
        backbone: returns feature maps by tap name, the deepest last.
        channels: of its deepest tap.
        classes: number of classes.
    """

    def __init__(self, backbone: VGGBackbone, channels: int, classes: int):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Class logits (B, classes) and feature maps by tap name, of (B, 3, H, W) images in [-1, 1]."""
        maps = self.backbone(images)
        deepest = maps[self.backbone.taps[-1]]
        return self.head(deepest.mean(dim=(2, 3))), maps


class ClassifierTrainer:
    """Trains a `Classifier`; driven by `training/loop.py`.

    Args:
        config: see `ClassifierConfig`.
        class_names: one for each label.
        accelerator: decides device and processes.
        held_out: pictures that `evaluate` measures.
    """

    def __init__(self, config: ClassifierConfig, class_names: list[str], accelerator: Accelerator, held_out: ImageSet):
        self.config, self.class_names = config, class_names
        self.accelerator, self.held_out = accelerator, held_out
        with torch.random.fork_rng():  # initial weights come from the config's seed, the global state stays
            torch.manual_seed(config.seed)
            backbone = VGGBackbone(blocks=config.blocks, taps=config.taps, batch_norm=True)
            model = Classifier(backbone, config.blocks[-1][-1], len(class_names))
        model = model.to(memory_format=torch.channels_last).train()
        self.ema = EMA(model.to(accelerator.device), config.ema_decay)
        self.model, self.optimizer = accelerator.prepare(model, _optimizer(model, config))
        self.steps_done = 0

    def step(self, batch: dict[str, Any]) -> dict[str, float]:
        """One step on `{"image" (B, 3, H, W) uint8, "label" (B,), "generator"}`; losses and shares by name."""
        config, device = self.config, self.accelerator.device
        views, labels, points = self._views(batch)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            logits, maps = self.model(views)
        logits = logits.float()
        loss = F.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)
        record = {"class_loss": loss.detach(), "train_accuracy": (logits.argmax(1) == labels).float().mean()}
        if points is not None:
            count = len(labels) // 2
            first = point_features({name: value[:count] for name, value in maps.items()}, points[0])
            second = point_features({name: value[count:] for name, value in maps.items()}, points[1])
            dense_loss, hits = dense_contrast(first, second, config.dense_temperature)
            record |= {"dense_loss": dense_loss.detach(), "train_dense_accuracy": hits}
            loss = loss + config.dense_weight * dense_loss

        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, self.steps_done)
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.optimizer.step()
        self.ema.update(self.accelerator.unwrap_model(self.model))
        self.steps_done += 1
        return {name: value.item() for name, value in record.items()}

    def _views(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]:
        """Augmented views (one, or with the dense term two, of each picture), labels, and matching places."""
        config, device, generator = self.config, self.accelerator.device, batch["generator"]
        images = _to_float(batch["image"].to(device))
        labels = batch["label"].to(device)
        crops = random_crops(len(images), generator, config.crop_scale)
        points = None
        if config.dense_weight > 0:
            motion = random_motions(
                len(images), generator, config.motion_degrees, config.motion_zoom, config.motion_shift
            )
            first, second = matching_points(motion, config.dense_points, generator)
            points = first.to(device), second.to(device)
            crops = torch.cat([crops, crops @ torch.linalg.inv(motion)])
            images, labels = images.repeat(2, 1, 1, 1), labels.repeat(2)
        views = warp_images(images, crops.to(device), config.size)
        views = jitter_colors(views, generator, config.color_jitter)
        return views.contiguous(memory_format=torch.channels_last), labels, points

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Measure the averaged weights on the held-out pictures, whole and unaugmented.

        Returns:
            `held_out_accuracy`, and `held_out_dense_accuracy`: how often a place finds itself again in a moved
            and recolored view among `dense_points` places; both 0..1.
        """
        config, device = self.config, self.accelerator.device
        generator = torch.Generator().manual_seed(config.seed)  # the same views at every measurement
        right, dense = 0, 0.0
        count = len(self.held_out.labels)
        for start in range(0, count, config.batch_size):
            images = _to_float(self.held_out.images[start : start + config.batch_size].to(device))
            labels = self.held_out.labels[start : start + config.batch_size].to(device)
            motion = random_motions(
                len(images), generator, config.motion_degrees, config.motion_zoom, config.motion_shift
            )
            first, second = matching_points(motion, config.dense_points, generator)
            moved = warp_images(images, torch.linalg.inv(motion).to(device), images.shape[-1])
            moved = jitter_colors(moved, generator, config.color_jitter)
            both = torch.cat([images, moved]).contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
                logits, maps = self.ema.module(both)
            right += int((logits[: len(images)].argmax(1) == labels).sum())
            query = point_features({name: value[: len(images)] for name, value in maps.items()}, first.to(device))
            key = point_features({name: value[len(images) :] for name, value in maps.items()}, second.to(device))
            dense += float(dense_contrast(query, key, config.dense_temperature)[1]) * len(images)
        return {"held_out_accuracy": right / count, "held_out_dense_accuracy": dense / count}

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> Image.Image:
        """Four held-out pictures a column: picture, recolored and moved view, picture rebuilt from the view.

        The rebuilt picture takes each cell of a 32 x 32 grid from the view's most similar cell.
        """
        device, side = self.accelerator.device, self.held_out.images.shape[-1]
        chosen = torch.linspace(0, len(self.held_out.labels) - 1, 4).long()
        images = _to_float(self.held_out.images[chosen].to(device))
        generator = torch.Generator().manual_seed(self.config.seed)
        motion = random_motions(4, generator, self.config.motion_degrees, self.config.motion_zoom, 0.1)
        moved = jitter_colors(warp_images(images, torch.linalg.inv(motion).to(device), side), generator, 0.7)
        axis = (torch.arange(32, device=device) + 0.5) / 16 - 1
        places = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1).view(1, -1, 2).expand(4, -1, -1)
        _, maps = self.ema.module(torch.cat([images, moved]))
        query = point_features({name: value[:4] for name, value in maps.items()}, places)
        key = point_features({name: value[4:] for name, value in maps.items()}, places)
        best = (query @ key.mT).argmax(dim=-1)  # [4, 1024]
        grid = places.gather(1, best.unsqueeze(-1).expand(-1, -1, 2)).view(4, 32, 32, 2)
        rebuilt = F.interpolate(F.grid_sample(moved, grid, align_corners=False), size=(side, side))
        rows = [torch.cat(list(row), dim=2) for row in (images, moved, rebuilt)]
        sheet = torch.cat(rows, dim=1)  # [3, 3 * side, 4 * side]
        return Image.fromarray(((sheet + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy())

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimizer, average and step count."""
        return {
            "model": self.accelerator.unwrap_model(self.model).state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.state_dict(),
            "steps_done": self.steps_done,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.accelerator.unwrap_model(self.model).load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema.load_state_dict(state["ema"])
        self.steps_done = state["steps_done"]

    def backbone(self) -> VGGBackbone:
        """The averaged backbone with its batch norm folded in: what OEFT loads."""
        return self.ema.module.backbone.fold_batch_norm()


def learning_rate(config: ClassifierConfig, step: int) -> float:
    """Linear warm-up, then a cosine down to zero at `config.steps`; a function of the step alone."""
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def _optimizer(model: nn.Module, config: ClassifierConfig) -> torch.optim.Optimizer:
    decayed = [value for value in model.parameters() if value.ndim > 1]
    others = [value for value in model.parameters() if value.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=config.lr)


def _to_float(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1
