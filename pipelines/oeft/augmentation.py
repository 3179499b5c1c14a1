"""Online augmentation: photometric for the source, geometric for the exemplar (OEFT sec. 3.2, fig. 6).

Written here because libraries' versions draw one set of parameters from the global random state, or clip images that
are not in [0, 1]; these draw from the run's own generator.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.oeft.settings import OEFTSettings


def _uniform(shape: tuple[int, ...], limit: float, generator: torch.Generator, like: Tensor) -> Tensor:
    """Uniform in [-limit, limit]."""
    drawn = torch.rand(shape, generator=generator, device=generator.device)
    return ((drawn * 2 - 1) * limit).to(like)


def photometric(image: Tensor, settings: OEFTSettings, generator: torch.Generator) -> Tensor:
    """Another exposure of the same picture: contrast and brightness of every channel, and Gaussian noise.

    Args:
        image: (B, 3, H, W), range [-1, 1].
        settings: `color_jitter` and `noise`.
        generator: Source of the random numbers.

    Returns:
        (B, 3, H, W), clamped to [-1, 1].
    """
    batch = image.shape[0]
    contrast = 1 + _uniform((batch, 3, 1, 1), settings.color_jitter, generator, image)
    brightness = _uniform((batch, 3, 1, 1), settings.color_jitter, generator, image)
    deviation = _uniform((batch, 1, 1, 1), settings.noise, generator, image).abs()
    noise = torch.randn(image.shape, generator=generator, device=generator.device).to(image)
    return (image * contrast + brightness + noise * deviation).clamp(-1, 1)


def random_affine(batch: int, settings: OEFTSettings, generator: torch.Generator, like: Tensor) -> Tensor:
    """Affine maps (B, 2, 3) from places of the result to places of the input, in `affine_grid`'s coordinates."""
    angle = _uniform((batch,), math.radians(settings.rotation), generator, like)
    scale = 1 + _uniform((batch,), settings.scale, generator, like)
    shear = _uniform((batch,), settings.shear, generator, like)
    shift = _uniform((batch, 2, 1), 2 * settings.translation, generator, like)
    cosine, sine = angle.cos(), angle.sin()
    rotation = torch.stack([cosine, -sine, sine, cosine], dim=1).view(batch, 2, 2)
    shearing = torch.eye(2).to(like).repeat(batch, 1, 1)
    shearing[:, 0, 1] = shear
    return torch.cat([scale.view(-1, 1, 1) * rotation @ shearing, shift], dim=2)


def geometric(image: Tensor, settings: OEFTSettings, generator: torch.Generator) -> Tensor:
    """The same picture from elsewhere: scaled, rotated, sheared and shifted; the border is mirrored.

    Args:
        image: (B, 3, H, W), range [-1, 1].
        settings: `scale`, `rotation`, `shear` and `translation`.
        generator: Source of the random numbers.

    Returns:
        (B, 3, H, W), range [-1, 1].
    """
    batch, _, height, width = image.shape
    # Grid coordinates run from -1 to 1 on both axes: undo the aspect around the rotation, or it would shear.
    aspect = torch.tensor([width / height, 1.0]).to(image)
    matrix = random_affine(batch, settings, generator, image)
    matrix = torch.cat([matrix[:, :, :2] * aspect / aspect[:, None], matrix[:, :, 2:]], dim=2)
    places = F.affine_grid(matrix, list(image.shape), align_corners=False)
    return F.grid_sample(image, places, mode="bilinear", padding_mode="reflection", align_corners=False)
