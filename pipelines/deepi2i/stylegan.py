"""Encoder and adaptor of DeepI2I on StyleGAN (DeepI2I appendix E)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from pipelines.networks.stylegan import WIDTHS, StyleGANTrunk
from pipelines.networks.stylegan2_blocks import leaky_relu
from pipelines.networks.stylegan_blocks import ScaledConv2d

LEVELS = (64, 32, 16, 8, 4)
LEVEL_WEIGHTS = {64: 0.0, 32: 0.1, 16: 0.1, 8: 0.1, 4: 0.1}  # of the authors: their adaptor's finest level is unused


class StyleGANEncoder(ModelMixin, ConfigMixin):
    """Hierarchical features of a picture: the trunk of StyleGAN's discriminator.

    Args:
        widths: channels at 4, 8, 16 ... pixels; the last is the picture's resolution.
        activate_rgb: as of the discriminator.
        levels: resolutions of the features that are returned.

    Raises:
        ValueError: a level is not a resolution of the trunk.
    """

    @register_to_config
    def __init__(self, widths: Sequence[int] = WIDTHS, activate_rgb: bool = True, levels: Sequence[int] = LEVELS):
        super().__init__()
        self.trunk = StyleGANTrunk(widths, activate_rgb)
        unknown = [level for level in levels if level not in self.trunk.channels()]
        if unknown:
            known = ", ".join(map(str, self.trunk.channels()))
            raise ValueError(f"`levels` has {unknown[0]}; with {len(widths)} `widths` there are {known}.")

    def channels(self) -> dict[int, int]:
        """Channels of every level."""
        return {level: self.trunk.channels()[level] for level in self.config["levels"]}

    def forward(self, image: Tensor) -> dict[int, Tensor]:
        """Features by level, (B, channels, level, level), of (B, 3, resolution, resolution) in [-1, 1]."""
        features = self.trunk(image)
        return {level: features[level] for level in self.config["levels"]}


class StyleGANSubAdaptor(nn.Module):
    """One level: two 3x3 convolutions with leaky ReLU, and no shortcut.

    Args:
        channels: of the features and of what is added to the generator's map.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = ScaledConv2d(channels, channels, 3, padding=1)
        self.conv2 = ScaledConv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, H, W) to the same."""
        return leaky_relu(self.conv2(leaky_relu(self.conv1(features))))


class StyleGANAdaptor(ModelMixin, ConfigMixin):
    """One sub-network a level, from the encoder's features to what the generator adds behind its blocks.

    Args:
        levels: resolutions of the features.
        channels: of the features, one a level.

    Raises:
        ValueError: the two are not equally long.
    """

    @register_to_config
    def __init__(self, levels: Sequence[int] = LEVELS, channels: Sequence[int] = (256, 512, 512, 512, 512)):
        super().__init__()
        if len(levels) != len(channels):
            raise ValueError(
                f"`levels` has {len(levels)} entries and `channels` {len(channels)}; one a level is accepted."
            )
        self.blocks = nn.ModuleDict(
            {str(level): StyleGANSubAdaptor(width) for level, width in zip(levels, channels, strict=True)}
        )

    def forward(self, features: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """What to add to the generator's maps, before it is weighted.

        Args:
            features: (B, channels, level, level) by level; levels may be left out.

        Returns:
            The same shapes by level, of the levels that were given.
        """
        return {level: self.blocks[str(level)](feature) for level, feature in features.items()}
