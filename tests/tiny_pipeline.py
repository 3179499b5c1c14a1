"""The smallest pipeline that saves and loads: one convolution, in a module that its weights name."""

from pathlib import Path
from typing import ClassVar

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn

from pipelines.base import TranslationPipeline
from pipelines.networks.torchvision_weights import load_torchvision_weights


class TinyNet(ModelMixin, ConfigMixin):
    @register_to_config
    def __init__(self, width: int = 4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)

    @classmethod
    def from_torchvision(cls, path: str | Path, **config):
        return load_torchvision_weights(cls, config, path, dropped=("classifier.",))


class TinyPipeline(TranslationPipeline):
    network_classes: ClassVar[dict[str, type]] = {"TinyNet": TinyNet}

    def __init__(self, net: TinyNet, preset: str = "balanced"):
        super().__init__()
        self.register_modules(net=net)
        self.register_to_config(preset=preset)


def make_pipeline(seed: int = 0, width: int = 4) -> TinyPipeline:
    """A pipeline with weights drawn from `seed`; the global random state stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TinyPipeline(TinyNet(width))
