"""DeepI2I's adaptor: from the encoder's features to what the generator adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from pipelines.deepi2i.level_factors import LEVELS
from pipelines.networks.biggan import START, initialize_orthogonal
from pipelines.networks.spectral_norm import SNConv2d


class SubAdaptor(nn.Module):
    """One level: a residual block at one resolution (DeepI2I appendix A).

    Args:
        in_channels: of the encoder's features.
        out_channels: of the generator's map.
        project: 1x1 convolution on the shortcut; without it `in_channels` and `out_channels` are the same.
    """

    def __init__(self, in_channels: int, out_channels: int, *, project: bool):
        super().__init__()
        self.conv1 = SNConv2d(in_channels, out_channels, 3, padding=1)
        self.conv2 = SNConv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = SNConv2d(in_channels, out_channels, 1) if project else None

    def forward(self, features: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H, W)."""
        inner = self.conv2(F.relu(self.conv1(F.relu(features))))
        return inner + (features if self.shortcut is None else self.shortcut(features))


class DeepI2IAdaptor(ModelMixin, ConfigMixin):
    """One sub-network a level (DeepI2I eq. 5 and appendix A); any subset of the levels may be there (fig. 3).

    Args:
        levels: resolutions of the features.
        in_channels: of the encoder, one a level.
        out_channels: of the generator, one a level. The level of 4 pixels has a plain shortcut where both are equal.

    Raises:
        ValueError: the three are not equally long.
    """

    @register_to_config
    def __init__(
        self,
        levels: Sequence[int] = LEVELS,
        in_channels: Sequence[int] = (192, 384, 768, 1536),
        out_channels: Sequence[int] = (384, 768, 1536, 1536),
    ):
        super().__init__()
        if not len(levels) == len(in_channels) == len(out_channels):
            raise ValueError(
                f"`levels`, `in_channels` and `out_channels` have {len(levels)}, {len(in_channels)} and "
                f"{len(out_channels)} entries; one a level is accepted."
            )
        self.blocks = nn.ModuleDict(
            {
                str(level): SubAdaptor(before, after, project=level != START or before != after)
                for level, before, after in zip(levels, in_channels, out_channels, strict=True)
            }
        )
        initialize_orthogonal(self)

    def forward(self, features: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """What to add to the generator's maps, before it is weighted.

        Args:
            features: (B, in_channels, level, level) by level; levels may be left out, and others may be there.

        Returns:
            (B, out_channels, level, level) by level, of the adaptor's levels that were given.
        """
        return {
            int(level): block(features[int(level)]) for level, block in self.blocks.items() if int(level) in features
        }
