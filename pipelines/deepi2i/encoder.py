"""DeepI2I's encoder: the trunk of a discriminator."""

from __future__ import annotations

from collections.abc import Sequence

from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

from pipelines.deepi2i.level_factors import LEVELS
from pipelines.networks.biggan import DiscriminatorTrunk, initialize_orthogonal, trunk_resolutions


class DeepI2IEncoder(ModelMixin, ConfigMixin):
    """Hierarchical features of a picture (DeepI2I sec. 3.1 and appendix A).

    Args:
        resolution: side of the picture: 64 or 128.
        base_channels: as of the discriminator; the paper has 96.
        attention_resolution: as of the discriminator.
        levels: resolutions of the features that are returned; blocks behind the smallest are left out.
        max_channels: as of the discriminator.

    Raises:
        ValueError: a level is not a resolution of the trunk.
    """

    @register_to_config
    def __init__(
        self,
        resolution: int = 128,
        base_channels: int = 96,
        attention_resolution: int = 64,
        levels: Sequence[int] = LEVELS,
        max_channels: int | None = None,
    ):
        super().__init__()
        known = dict.fromkeys(trunk_resolutions(resolution))
        if unknown := [level for level in levels if level not in known]:
            raise ValueError(
                f"`levels` has {unknown[0]}; at {resolution} pixels there are {', '.join(map(str, known))}."
            )
        self.trunk = DiscriminatorTrunk(resolution, base_channels, attention_resolution, max_channels, min(levels))
        initialize_orthogonal(self)

    def channels(self) -> dict[int, int]:
        """Channels of every level."""
        return {level: self.trunk.channels()[level] for level in self.config["levels"]}

    def forward(self, image: Tensor) -> dict[int, Tensor]:
        """Features by level, (B, channels, level, level), of (B, 3, resolution, resolution) in [-1, 1]."""
        features = self.trunk(image)
        return {level: features[level] for level in self.config["levels"]}
