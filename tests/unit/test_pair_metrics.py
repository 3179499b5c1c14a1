"""Distances of two pictures, and classifiers of pictures' features."""

import numpy as np
import pytest
import torch

from pipelines.metrics.accuracy import DECAY, accuracy, fake_classifier, fit, real_classifier
from pipelines.metrics.features import FeatureExtractor, MetricError
from pipelines.metrics.fid import fid
from pipelines.metrics.lpips import perceptual_distance
from pipelines.metrics.measures import Measures
from pipelines.metrics.score import mean_score
from pipelines.metrics.sifid import single_image_fid
from pipelines.networks.vgg import VGGBackbone
from tests.tiny import seeded


@pytest.fixture
def backbone():
    network = VGGBackbone(blocks=((4, 4), (8,)), taps=("relu1_2", "relu2_1")).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=seeded(1)) * 0.3)
    return network


def images(*sizes, seed=0):
    return [torch.rand(3, *size, generator=seeded(seed + number)) * 2 - 1 for number, size in enumerate(sizes)]


def maps(seed, *shapes):
    return {str(number): torch.randn(2, *shape, generator=seeded(seed)) for number, shape in enumerate(shapes)}


def test_perceptual_distance_written_out():
    first, second = (maps(seed, (4, 3, 5), (6, 2, 2)) for seed in (1, 2))
    wanted = np.zeros(2)
    for picture in range(2):
        for tap in first:
            a, b = (m[tap][picture].double().numpy().reshape(m[tap].shape[1], -1).T for m in (first, second))
            unit = [side / np.sqrt((side**2).sum(axis=1, keepdims=True)) for side in (a, b)]
            wanted[picture] += ((unit[0] - unit[1]) ** 2).sum(axis=1).mean() / 2
    assert perceptual_distance(first, second).numpy() == pytest.approx(wanted, rel=1e-3)
    assert torch.equal(perceptual_distance(first, first), torch.zeros(2))
    louder = {tap: value * 3 for tap, value in second.items()}
    assert torch.allclose(perceptual_distance(first, louder), perceptual_distance(first, second))


def matrix_root(matrix):
    """By eigenvalues of a product that need not be symmetric; its trace is the sum of their roots."""
    return np.sqrt(np.linalg.eigvals(matrix).real.clip(min=0))


def test_single_image_fid_written_out():
    first, second = (torch.randn(2, 5, 7, 6, generator=seeded(seed)) * scale for seed, scale in ((1, 1), (2, 1.5)))
    second = second[..., :4] + 0.3
    for value, a, b in zip(single_image_fid(first, second), first, second, strict=True):
        a, b = (side.double().numpy().reshape(5, -1).T for side in (a, b))
        covariances = [np.cov(side.T) for side in (a, b)]
        trace = matrix_root(covariances[0] @ covariances[1]).sum()
        wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + sum(map(np.trace, covariances)) - 2 * trace
        assert float(value) == pytest.approx(wanted, rel=1e-3)
    assert single_image_fid(first, first).numpy() == pytest.approx(np.zeros(2), abs=1e-6)
    with pytest.raises(MetricError, match="one place for a whole picture"):
        single_image_fid(first, first[..., :1, :1])


def test_fid_written_out():
    real, generated = torch.randn(200, 12, generator=seeded(1)), torch.randn(150, 12, generator=seeded(2)) * 1.4 + 0.1
    a, b = (side.double().numpy() for side in (real, generated))
    covariances = [np.cov(side.T) for side in (a, b)]
    trace = matrix_root(covariances[0] @ covariances[1]).sum()
    wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + sum(map(np.trace, covariances)) - 2 * trace
    assert fid(real, generated) == pytest.approx(wanted, rel=1e-3)


def test_measures_of_a_stream(backbone):
    sizes = [(20, 24), (20, 24), (16, 16), (20, 24)]
    pictures, others = images(*sizes), images(*sizes, seed=50)
    extractor = FeatureExtractor(backbone, "tiny", {}, resize="none", batch_size=2)
    found = Measures(extractor, ("features", "lpips", "sifid"))(zip(pictures, others, strict=True))
    assert {name: tuple(rows.shape) for name, rows in found.items()} == {
        "features": (4, 8),
        "lpips": (4, 1),
        "sifid": (4, 1),
    }
    for number, (a, b) in enumerate(zip(pictures, others, strict=True)):
        with torch.no_grad():
            sides = [backbone(side[None], taps=("relu1_2", "relu2_1")) for side in (a, b)]
        assert torch.allclose(found["features"][number], sides[0]["relu2_1"][0].mean(dim=(1, 2)), atol=1e-6)
        assert torch.allclose(found["lpips"][number], perceptual_distance(*sides), atol=1e-6)
        single = single_image_fid(*(side["relu1_2"] for side in sides))
        assert torch.allclose(found["sifid"][number], single, rtol=1e-4)
    assert Measures(extractor, ("lpips",))(iter(())) == {}


def test_pictures_that_cannot_be_compared(backbone):
    extractor = FeatureExtractor(backbone, "tiny", {}, resize="none")
    first, second = images((16, 16), (16, 18))
    with pytest.raises(MetricError, match="lpips compares pictures of one size"):
        Measures(extractor, ("lpips",))([(first, second)])
    assert Measures(extractor, ("sifid",))([(first, second)])["sifid"] > 0
    with pytest.raises(MetricError, match="there is no picture to compare with"):
        Measures(extractor, ("lpips",))([(first, None)])


def test_interval_of_a_mean():
    values = torch.randn(400, generator=seeded()) * 3 + 5
    score = mean_score(values)
    assert score.value == pytest.approx(float(values.mean()))
    assert score.error == pytest.approx(3 / 20, rel=0.3)
    assert mean_score(values[:1]).interval is None
    assert mean_score(values.repeat(3)).interval is None


def classes(seed, count=60, shift=1.5):
    draws = seeded(seed)
    centers = torch.eye(3, 5) * shift
    return {name: torch.randn(count, 5, generator=draws) + centers[number] for number, name in enumerate("abc")}


def test_fit_is_the_minimum():
    features = torch.cat(list(classes(0, 20).values()))
    labels = torch.arange(3).repeat_interleave(20)
    weight, bias = fit(features, labels, 3)
    x, w = features.double().numpy(), weight.double().numpy()
    logits = x @ w.T + bias.double().numpy()
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    residual = (shares - np.eye(3)[labels.numpy()]) / len(x)
    assert np.abs(residual.T @ x + DECAY * w).max() < 1e-4  # the gradient, by hand
    assert np.abs(residual.sum(axis=0)).max() < 1e-4
    assert np.abs(w).max() > 0.5


def test_accuracy_is_that_of_the_best_classifier():
    # Of three unit Gaussians in the corners of a triangle nothing is better than the nearest center.
    training, tested = classes(0, 900), classes(1, 900)
    centers = torch.eye(3, 5) * 1.5
    for number, (name, share) in enumerate(accuracy(training, tested).per_class.items()):
        nearest = (torch.cdist(tested[name], centers).argmin(dim=1) == number).double().mean()
        assert share == pytest.approx(float(nearest), abs=0.03)


def test_rc_and_fc_train_on_either_side():
    real = classes(0, shift=8)
    one_picture = {name: features[:1].repeat(40, 1) for name, features in real.items()}  # a collapsed generator
    wrong = dict(zip("abc", [real["b"], real["c"], real["a"]], strict=True))
    assert real_classifier(real, one_picture).value == 1
    assert real_classifier(real, wrong).value == 0
    noisy = {name: torch.cat([features, classes(3, 30, 0)[name]]) for name, features in real.items()}
    assert fake_classifier(real, noisy).value > 0.9
    assert real_classifier(real, noisy).value < 0.9
    assert fake_classifier(noisy, real).value == real_classifier(real, noisy).value


def test_accuracy_repeats_and_counts_classes_the_same():
    training, tested = classes(0), classes(1)
    training["a"] = training["a"].repeat(30, 1)  # more than are drawn
    first = accuracy(training, tested, 4)
    assert first == accuracy(training, tested, 4)
    assert first.value == pytest.approx(np.mean(list(first.per_class.values())))
    assert min(first.per_class.values()) > 0.5  # the frequent class does not swallow the others
    assert first.interval[0] < first.value < first.interval[1]
    assert accuracy({name: training[name] for name in "cba"}, tested, 4).value == pytest.approx(first.value, abs=0.03)


def test_classes_that_cannot_be_told_apart():
    sets = classes(0)
    with pytest.raises(MetricError, match="only one side has pictures of 'c'"):
        accuracy(sets, {name: sets[name] for name in "ab"})
    with pytest.raises(MetricError, match="a classifier needs two classes"):
        accuracy({"a": sets["a"]}, {"a": sets["a"]})
