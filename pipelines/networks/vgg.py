"""VGG feature backbones, in the key layout of torchvision's ImageNet weights."""

from pathlib import Path
from typing import Self

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.vgg import make_layers

from pipelines.networks.torchvision_weights import imagenet_normalize, load_torchvision_weights

VGG19_BLOCKS = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)


class VGGBackbone(ModelMixin, ConfigMixin):
    """The convolutional part of a VGG network, read out at several layers (Simonyan & Zisserman, arXiv 1409.1556).

    Parameters are called `features.{i}.weight` as in torchvision, so its weights load as they are. Layers are named
    as the literature names them: `relu3_2` is the rectified output of the second convolution of block three.

    Args:
        blocks: Output channels of every convolution, one tuple a block; 2x2 max pooling follows each block. The
            default is VGG-19.
        taps: Names of the layers that `forward` returns by default, in the order of their depth.
        batch_norm: Put a batch normalization behind every convolution, as `vgg19_bn` has. Made for training;
            `fold_batch_norm` gives the same network without.
    """

    @register_to_config
    def __init__(
        self,
        blocks: tuple[tuple[int, ...], ...] = VGG19_BLOCKS,
        taps: tuple[str, ...] = ("relu3_4", "relu4_4", "relu5_4"),
        batch_norm: bool = False,
    ):
        super().__init__()
        layers = [width for block in blocks for width in (*block, "M")]
        self.features = make_layers(layers, batch_norm=batch_norm)
        self.tap_indices = _relu_indices(blocks, batch_norm)
        for tap in taps:
            if tap not in self.tap_indices:
                raise ValueError(f"`taps` names {tap!r}; this network has {', '.join(self.tap_indices)}.")
        self.taps, self.layers = tuple(taps), tuple(self.tap_indices)

    def forward(self, image: Tensor, taps: tuple[str, ...] | None = None) -> dict[str, Tensor]:
        """Feature maps of an image.

        Args:
            image: (B, 3, H, W), range [-1, 1].
            taps: Layers to return, `self.taps` by default; nothing behind the deepest of them is computed.

        Returns:
            A map (B, C, H / stride, W / stride) for every tap, by its name.
        """
        wanted = {self.tap_indices[tap]: tap for tap in (self.taps if taps is None else taps)}
        maps = {}
        hidden = imagenet_normalize(image)
        for index, layer in enumerate(self.features[: max(wanted) + 1]):
            hidden = layer(hidden)
            if index in wanted:
                maps[wanted[index]] = hidden
        return maps

    def least_side(self, tap: str) -> int:
        """Pixels on a side below which a picture has nothing left at this layer."""
        return 2 ** sum(isinstance(layer, nn.MaxPool2d) for layer in self.features[: self.tap_indices[tap]])

    @torch.no_grad()
    def fold_batch_norm(self) -> Self:
        """A new network without batch normalization that computes what this one computes in evaluation mode.

        Fine-tuning on a single pair of images needs it: batch statistics of one image mean nothing.
        """
        folded = type(self)(blocks=self.config["blocks"], taps=self.taps)
        convolutions = [layer for layer in self.features if isinstance(layer, nn.Conv2d)]
        norms = [layer for layer in self.features if isinstance(layer, nn.BatchNorm2d)]
        targets = [layer for layer in folded.features if isinstance(layer, nn.Conv2d)]
        for convolution, norm, target in zip(convolutions, norms, targets, strict=True):
            fused = fuse_conv_bn_eval(convolution.eval(), norm.eval())
            target.load_state_dict(fused.state_dict())
        return folded.eval()

    @classmethod
    def from_torchvision(cls, path: str | Path, **config) -> Self:
        """The network with weights from a safetensors file of torchvision's (or timm's) layout.

        Only the convolutional part is kept; the classifier's weights are left out.

        Raises:
            ValueError: When a weight is missing, unexpected or of another shape.
        """
        return load_torchvision_weights(cls, config, path, dropped=("classifier.", "pre_logits.", "head."))


def _relu_indices(blocks: tuple[tuple[int, ...], ...], batch_norm: bool) -> dict[str, int]:
    """Position in `features` of the rectifier behind every convolution, by its name."""
    indices, position = {}, 0
    for block_number, block in enumerate(blocks, 1):
        for conv_number in range(1, len(block) + 1):
            position += 3 if batch_norm else 2
            indices[f"relu{block_number}_{conv_number}"] = position - 1
        position += 1  # the pooling
    return indices
