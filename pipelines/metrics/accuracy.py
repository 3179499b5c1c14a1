"""Whether generated pictures show their class: a classifier of real pictures (RC), and one of generated ones (FC).

DeepI2I section 4; its classifier is a ResNet-50 that is trained for it. Here it is linear on the features of the given
extractor, which is quick and the same every time; its accuracies can be compared with each other only.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.metrics.features import MetricError
from pipelines.metrics.per_class import same_classes
from pipelines.metrics.score import Score, mean_score

MOST = 1000  # pictures of a class to train on
DECAY = 1e-3  # times half the squared length of the weights, beside the mean loss of a picture
_ROUNDS = 200


def real_classifier(real: Mapping[str, Tensor], generated: Mapping[str, Tensor], seed: int = 0) -> Score:
    """RC: how many generated pictures a classifier trained on real ones puts into their class, see `accuracy`."""
    return accuracy(real, generated, seed)


def fake_classifier(real: Mapping[str, Tensor], generated: Mapping[str, Tensor], seed: int = 0) -> Score:
    """FC: how many real pictures a classifier trained on generated ones puts into their class, see `accuracy`."""
    return accuracy(generated, real, seed)


def accuracy(training: Mapping[str, Tensor], tested: Mapping[str, Tensor], seed: int = 0) -> Score:
    """Train a linear classifier, and test it.

    Args:
        training: (N, C) features by class; of more than 1,000 pictures of a class as many are drawn.
        tested: (M, C) features by class; the same classes.
        seed: of that draw, and of the bootstrap.

    Returns:
        The mean over classes of the share that is put into the right one. The error is that of drawing other classes;
        the classifier stays the same.

    Raises:
        MetricError: the classes are not the same, or there is only one.
    """
    same_classes(training, tested)
    if len(training) < 2:
        raise MetricError("a classifier needs two classes")
    names = sorted(training)
    draws = torch.Generator().manual_seed(seed)
    drawn = [training[name][torch.randperm(len(training[name]), generator=draws)[:MOST]] for name in names]
    features, labels = torch.cat(drawn), _labels(drawn)
    mean, spread = features.mean(dim=0), features.std(dim=0, unbiased=False)
    spread = torch.where(spread > 0, spread, torch.ones_like(spread))
    weight, bias = fit((features - mean) / spread, labels, len(names))
    shares = {
        name: float((F.linear((tested[name] - mean) / spread, weight, bias).argmax(dim=1) == number).double().mean())
        for number, name in enumerate(names)
    }
    return mean_score(torch.tensor(list(shares.values())), seed, shares)


def fit(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Logistic regression: the minimum of the mean cross-entropy and the decay of the weights; nothing is drawn.

    Every class counts the same, however many pictures it has.

    Args:
        features: (N, C), standardized.
        labels: (N,) from 0.
        classes: how many.

    Returns:
        Weights (classes, C) and biases (classes,).
    """
    per_class = torch.bincount(labels, minlength=classes)
    balance = len(labels) / (classes * per_class.clamp(min=1)).to(features.dtype)
    with torch.inference_mode(False), torch.enable_grad():
        features, labels, balance = features.clone(), labels.clone(), balance.clone()
        weight = features.new_zeros(classes, features.shape[1], requires_grad=True)
        bias = features.new_zeros(classes, requires_grad=True)
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=_ROUNDS, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            losses = F.cross_entropy(F.linear(features, weight, bias), labels, reduction="none")
            loss = (losses * balance[labels]).mean() + DECAY / 2 * weight.square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)  # type: ignore[arg-type]
    return weight.detach(), bias.detach()


def _labels(drawn: list[Tensor]) -> Tensor:
    return torch.cat([torch.full((len(features),), number) for number, features in enumerate(drawn)])
