"""What a score has to be read beside."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pipelines.metrics.features import MetricError


def nearest_features(queries: Tensor, training: Tensor) -> Tensor:
    """The features of the training picture nearest to each query, by Euclidean distance between features.

    A system that answers with it has only memorized: it shows what that scores.

    Args:
        queries: (N, C).
        training: (M, C), M at least 1; a picture may be the answer to several queries.

    Returns:
        (N, C).
    """
    return training[torch.cdist(queries, training).argmin(dim=1)]


def nearest_by_class(queries: Mapping[str, Tensor], training: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`nearest_features` among the training pictures of each class; both hold (N, C) by class.

    Raises:
        MetricError: a class has no training pictures; the message names it.
    """
    for name in queries:
        if name not in training:
            raise MetricError(f"class {name!r}: there is no training picture that can be read")
    return {name: nearest_features(features, training[name]) for name, features in queries.items()}
