"""ResNet feature backbones, in the key layout of torchvision's ImageNet weights."""

from pathlib import Path
from typing import Self

from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor
from torchvision.models.resnet import Bottleneck, ResNet

from pipelines.networks.torchvision_weights import imagenet_normalize, load_torchvision_weights


class ResNetBackbone(ModelMixin, ConfigMixin):
    """The convolutional part of a bottleneck ResNet, read out after its stages (He et al., arXiv 1512.03385).

    Batch normalization stays in evaluation mode whatever `train` says: the statistics of a single image mean
    nothing, and frozen statistics make the network a fixed function of its weights.

    Args:
        depths: Bottleneck blocks of each of the four stages. The default is ResNet-50.
        width: Channels of the first bottleneck (the stem has 64 always, as in torchvision).
        taps: Names of the stages that `forward` returns by default: stem, layer1 .. layer4.
    """

    layers = ("stem", "layer1", "layer2", "layer3", "layer4")

    @register_to_config
    def __init__(
        self,
        depths: tuple[int, int, int, int] = (3, 4, 6, 3),
        width: int = 64,
        taps: tuple[str, ...] = ("layer1", "layer2", "layer3"),
    ):
        super().__init__()
        for tap in taps:
            if tap not in self.layers:
                raise ValueError(f"`taps` names {tap!r}; this network has {', '.join(self.layers)}.")
        network = ResNet(Bottleneck, list(depths), width_per_group=width)
        self.conv1, self.bn1, self.relu, self.maxpool = network.conv1, network.bn1, network.relu, network.maxpool
        self.layer1, self.layer2 = network.layer1, network.layer2
        self.layer3, self.layer4 = network.layer3, network.layer4
        self.taps = tuple(taps)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode: see the class."""
        del mode
        return super().train(False)

    def forward(self, image: Tensor, taps: tuple[str, ...] | None = None) -> dict[str, Tensor]:
        """Feature maps of an image.

        Args:
            image: (B, 3, H, W), range [-1, 1].
            taps: Stages to return, `self.taps` by default; nothing behind the deepest of them is computed.

        Returns:
            A map (B, C, H / stride, W / stride) for every tap, by its name; strides are 2, 4, 8, 16, 32.
        """
        wanted = self.taps if taps is None else tuple(taps)
        hidden = self.relu(self.bn1(self.conv1(imagenet_normalize(image))))  # (B, 64, H/2, W/2)
        maps = {"stem": hidden}
        hidden = self.maxpool(hidden)  # (B, 64, H/4, W/4)
        for name in self.layers[1:]:
            if all(tap in maps for tap in wanted):
                break
            hidden = maps[name] = getattr(self, name)(hidden)
        return {tap: maps[tap] for tap in wanted}

    def least_side(self, tap: str) -> int:
        """Pixels on a side below which a picture has nothing left at this layer; one is enough here."""
        del tap
        return 1

    @classmethod
    def from_torchvision(cls, path: str | Path, **config) -> Self:
        """The network with weights from a safetensors file of torchvision's (or timm's) layout, without classifier.

        Raises:
            ValueError: When a weight is missing, unexpected or of another shape.
        """
        return load_torchvision_weights(cls, config, path, dropped=("fc.",))
