"""What pictures of a domain look like, and how far from it one picture is: the measure of OEFT's self-deciding.

A single picture has no distribution of pictures. It has one of features over its places, and that is compared with the
domain's, by the Frechet distance of two Gaussians (OEFT sec. 3.3).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from pipelines.images.geometry import resize
from pipelines.metrics.fid import Gaussian, frechet_distance
from pipelines.oeft.features import feature_maps


class DomainStatistics(ModelMixin, ConfigMixin):
    """Mean and covariance of a backbone's features over the places of a domain's pictures.

    Args:
        channels: of the layer.
        tap: layer of the backbone that is read.
        size: pixels; every picture is brought to this square for it.
        shrinkage: share of the domain's covariance in that of a single picture, whose places are few and alike.
        num_images: pictures that were measured.
        origin: what they were, in words.
        reach: distance that 95 of 100 of the prior's own pictures stay below; what is beyond is of another domain.

    Attributes:
        mean: (C,), fp32.
        covariance: (C, C), fp32.
    """

    mean: Tensor
    covariance: Tensor

    @register_to_config
    def __init__(
        self,
        channels: int,
        tap: str,
        size: int = 128,
        shrinkage: float = 0.1,
        num_images: int = 0,
        origin: str = "",
        reach: float = 0.0,
    ):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("covariance", torch.eye(channels))

    @torch.no_grad()
    def distance(self, backbone: nn.Module, images: Tensor) -> list[float]:
        """How far pictures are from the domain; computed in fp64.

        Args:
            backbone: the network whose features were measured.
            images: (B, 3, H, W) in [-1, 1].

        Returns:
            The Frechet distance of each.
        """
        domain = Gaussian(self.mean.cpu().double(), _root(self.covariance.cpu().double()))
        return [frechet_distance(domain, self._gaussian(places)) for places in self.places(backbone, images)]

    def places(self, backbone: nn.Module, images: Tensor) -> Tensor:
        """The features that are compared, (B, places, C), of pictures (B, 3, H, W) in [-1, 1]."""
        tap, size = self.config["tap"], self.config["size"]
        pixels = resize(images, (size, size))
        return feature_maps(backbone, pixels, (tap,), torch.float32)[tap].flatten(2).transpose(1, 2)

    def _gaussian(self, places: Tensor) -> Gaussian:
        """Of the places of one picture, (P, C)."""
        places = places.cpu().double()  # not every device has fp64
        mean = places.mean(dim=0)
        centered = places - mean
        share = self.config["shrinkage"]
        covariance = (1 - share) * centered.T @ centered / (len(places) - 1) + share * self.covariance.cpu().double()
        return Gaussian(mean, _root(covariance))

    @torch.no_grad()
    def measure(self, backbone: nn.Module, batches: Iterable[Tensor], origin: str, reach: float) -> None:
        """Take mean and covariance from pictures, one batch after the other.

        Args:
            backbone: the network whose features are measured.
            batches: (B, 3, H, W) in [-1, 1] each.
            origin: what they are, in words.
            reach: see above.
        """
        total, moment, num_images, num_places = 0.0, 0.0, 0, 0
        for batch in batches:
            places = self.places(backbone, batch).flatten(0, 1).cpu().double()
            total, moment = total + places.sum(dim=0), moment + places.T @ places
            num_images, num_places = num_images + len(batch), num_places + len(places)
        mean = torch.as_tensor(total) / num_places
        self.mean.copy_(mean)
        self.covariance.copy_(torch.as_tensor(moment) / num_places - torch.outer(mean, mean))
        self.register_to_config(num_images=num_images, origin=origin, reach=reach)


def _root(covariance: Tensor) -> Tensor:
    """A matrix R with R.T @ R the covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    return values.clamp(min=0).sqrt()[:, None] * vectors.T
