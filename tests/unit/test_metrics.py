import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from pipelines.metrics.baselines import nearest_features
from pipelines.metrics.features import FeatureExtractor, MetricError, center_square, resize_clean
from pipelines.metrics.fid import fid, fid_score, gaussian
from pipelines.metrics.files import draw_files, features_of_files, files_of_folder, read_split
from pipelines.metrics.kid import kid, kid_score, polynomial_mmd
from pipelines.metrics.measures import Measures
from pipelines.metrics.per_class import mean_over_classes, over_all
from pipelines.metrics.results import ResultsFile, result_key
from pipelines.metrics.score import standard_error
from pipelines.metrics.shares import Shares
from pipelines.networks.vgg import VGGBackbone
from pipelines.training.datasets import DatasetError, LabeledFile, find_labeled_images, write_split
from tests.tiny import picture, seeded


class PassOn(nn.Module):
    """Lets torchmetrics measure features instead of pictures."""

    def __init__(self, num_features):
        super().__init__()
        self.num_features = num_features

    def forward(self, features):
        return features


def two_sets(real, generated, channels, seed=0):
    generator = seeded(seed)
    mixing = torch.randn(channels, channels, generator=generator)
    first = torch.randn(real, channels, generator=generator) @ mixing
    return first, torch.randn(generated, channels, generator=generator) * 1.3 + 0.2


def torchmetrics_fid(real, generated):
    metric = FrechetInceptionDistance(feature=PassOn(real.shape[1])).set_dtype(torch.float64)
    metric.update(real.double(), real=True)
    metric.update(generated.double(), real=False)
    return float(metric.compute())


@pytest.mark.parametrize(("real", "generated", "channels"), [(300, 200, 16), (40, 300, 64), (20, 12, 64)])
def test_fid_agrees_with_torchmetrics(real, generated, channels):
    sets = two_sets(real, generated, channels)
    assert fid(*sets) == pytest.approx(torchmetrics_fid(*sets), rel=1e-3)


def test_fid_of_known_gaussians():
    features = two_sets(500, 2, 8)[0]
    assert fid(features, features) == pytest.approx(0, abs=1e-6)
    assert fid(features, features + 2) == pytest.approx(8 * 4, rel=1e-6)
    assert fid(features.repeat(20, 1)[:9000], features) == pytest.approx(0, abs=0.1)  # in several chunks


def test_gaussian_is_the_covariance_whichever_side_is_longer():
    for count in (5, 50):
        fit = gaussian(features := two_sets(count, 2, 10)[0])
        assert torch.allclose(fit.root.T @ fit.root, torch.cov(features.double().T), atol=1e-9)


def test_small_sets_far_from_zero_lose_nothing():
    real, generated = two_sets(30, 30, 8)
    assert fid(real.double() + 1e4, generated.double() + 1e4) == pytest.approx(fid(real, generated), rel=1e-4)


@pytest.mark.parametrize("size", [40, 25])
def test_kid_agrees_with_torchmetrics(size):
    real, generated = two_sets(60, 40, 12)
    metric = KernelInceptionDistance(feature=PassOn(12), subsets=20, subset_size=size).set_dtype(torch.float64)
    metric.update(real.double(), real=True)
    metric.update(generated.double(), real=False)
    with torch.random.fork_rng():
        torch.manual_seed(3)  # it draws from the global state, in the same order
        mean, std = metric.compute()
    ours = kid(real, generated, subsets=20, subset_size=size, seed=3)
    assert ours == (pytest.approx(float(mean), rel=1e-3), pytest.approx(float(std), rel=1e-3))


def test_kid_is_unbiased():
    values = [polynomial_mmd(*torch.randn(2, 10, 4, generator=seeded(seed))) for seed in range(400)]
    assert min(values) < 0 < max(values)
    assert np.mean(values) == pytest.approx(0, abs=4 * np.std(values) / 20)


def test_kid_of_all_pictures_has_no_deviation():
    real, generated = two_sets(30, 30, 8)
    assert kid(real, generated) == (polynomial_mmd(real, generated), None)
    assert kid_score(real, generated[:20]).std is None


@pytest.mark.parametrize("score", [fid_score, kid_score])
def test_interval_has_the_width_of_repeated_measurements(score):
    pairs = [
        torch.randn(2, 60, 4, generator=seeded(seed)) * torch.tensor([1, 1.6]).view(2, 1, 1) for seed in range(25)
    ]
    scores = [score(real, generated) for real, generated in pairs]
    spread = np.std([measured.value for measured in scores])
    errors = [measured.error for measured in scores]
    assert spread / 2 < np.mean(errors) < spread * 2


@pytest.mark.parametrize("score", [fid_score, kid_score])
def test_interval_surrounds_the_value_and_repeats(score):
    real, generated = two_sets(12, 9, 32)
    first, second = score(real, generated, 5), score(real, generated, 5)
    assert first == second
    assert first.interval[0] < first.value < first.interval[1]
    assert score(real, generated, 6).error != first.error


def test_large_sets_have_no_interval_and_are_not_resampled():
    drawn = []
    assert standard_error(lambda i, j: drawn.append((i, j)), 1000, 1000, seed=0) is None
    assert not drawn
    error = standard_error(lambda i, j: drawn.append((i, j)) or float(j.float().mean()), 1000, 20, seed=0)
    assert error > 0
    assert all(i is None and len(j) == 20 for i, j in drawn)
    large = torch.randn(1100, 4, generator=seeded())
    assert fid_score(large, large).interval is None
    mixed = kid_score(large, large[:50] * 1.5)
    assert mixed.std > 0
    assert mixed.error > 0


def test_mean_over_classes():
    real = dict(zip("ab", two_sets(20, 30, 4), strict=True))
    generated = dict(zip("ab", two_sets(25, 15, 4, seed=1), strict=True))
    score = mean_over_classes(fid_score, real, generated, 0)
    each = {name: fid_score(real[name], generated[name], 0) for name in "ab"}
    assert score.per_class == {name: each[name].value for name in "ab"}
    assert score.value == pytest.approx((each["a"].value + each["b"].value) / 2)
    assert score.error == pytest.approx((each["a"].error ** 2 + each["b"].error ** 2) ** 0.5 / 2)
    pooled = over_all(fid_score, real, generated, 0)
    assert pooled.value == fid(torch.cat([real["a"], real["b"]]), torch.cat([generated["a"], generated["b"]]))


def test_sets_that_cannot_be_compared_are_refused():
    features = torch.randn(5, 4, generator=seeded())
    with pytest.raises(MetricError, match="only one side has pictures of 'b'"):
        mean_over_classes(fid_score, {"a": features, "b": features}, {"a": features}, 0)
    with pytest.raises(MetricError, match="class 'a': a set has 1 pictures; a covariance needs at least 2"):
        mean_over_classes(fid_score, {"a": features}, {"a": features[:1]}, 0)
    with pytest.raises(MetricError, match="a kernel distance needs at least 2"):
        kid(features, features[:1])


@pytest.fixture
def backbone():
    network = VGGBackbone(blocks=((4,), (8,)), taps=("relu1_1",)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=seeded(1)) * 0.3)
    return network


def features_of(extractor, pictures):
    return Measures(extractor)((image, None) for image in pictures)["features"]


def images(*sizes):
    return [torch.rand(3, *size, generator=seeded(number)) * 2 - 1 for number, size in enumerate(sizes)]


@pytest.mark.parametrize("resize", ["clean", "none"])
def test_batches_do_not_change_features(backbone, resize):
    pictures = images((20, 30), (20, 30), (16, 16), (20, 30), (40, 24))
    single = FeatureExtractor(backbone, "tiny", {}, resize=resize, size=16, batch_size=1)
    many = FeatureExtractor(backbone, "tiny", {}, resize=resize, size=16, batch_size=3)
    features = features_of(many, iter(pictures))
    assert features.shape == (5, 8)
    assert torch.allclose(features, features_of(single, pictures), atol=1e-5)
    assert many.record["tap"] == "relu2_1"
    assert many.record["size"] == (16 if resize == "clean" else None)


def test_features_are_the_mean_of_a_map(backbone):
    (picture_,) = images((16, 16))
    features = features_of(FeatureExtractor(backbone, "tiny", {}, tap="relu1_1", resize="none"), [picture_])
    expected = backbone(picture_[None], taps=("relu1_1",))["relu1_1"].mean(dim=(2, 3))
    assert torch.allclose(features, expected)


@pytest.mark.parametrize(("size", "wanted"), [((50, 70), 16), ((20, 12), 48)])
def test_clean_resize_is_that_of_pillow(size, wanted):
    (image,) = images(size)
    channels = [
        Image.fromarray(channel.numpy()).resize((wanted, wanted), Image.Resampling.BICUBIC) for channel in image
    ]
    expected = torch.from_numpy(np.stack(channels)).clamp(-1, 1)
    assert torch.allclose(resize_clean(image, wanted), expected, atol=1e-5)


def test_center_square():
    image = torch.full((3, 10, 30), -1.0)
    image[:, :, 10:20] = 0.2
    square = center_square(image, 5)
    assert square.shape == (3, 5, 5)
    assert torch.allclose(square, torch.tensor(round(1.2 * 127.5) / 127.5 - 1))
    assert center_square(image, None) is image


def test_unreadable_files_are_named_and_left_out(backbone, tmp_path, capsys):
    picture().save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"x")
    measures = Measures(FeatureExtractor(backbone, "tiny", {}, size=16))
    good, broken = files_of_folder(tmp_path)
    assert list(features_of_files([good, broken], measures, None, Shares())) == [good]
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "b.png" in said
    with pytest.raises(MetricError, match="no picture"):
        features_of_files([broken], measures, None, Shares())


def test_extractor_refuses_what_it_cannot_do(backbone):
    with pytest.raises(MetricError, match="no layer 'relu9_1'; it has relu1_1, relu2_1"):
        FeatureExtractor(backbone, "tiny", {}, tap="relu9_1")
    with pytest.raises(MetricError, match="resize is 'dirty'; one of clean, pytorch-fid, none"):
        FeatureExtractor(backbone, "tiny", {}, resize="dirty")
    with pytest.raises(MetricError, match="size is 0"):
        FeatureExtractor(backbone, "tiny", {}, size=0)
    with pytest.raises(MetricError, match="not finite"):
        features_of(FeatureExtractor(backbone, "tiny", {}, resize="none"), [torch.full((3, 8, 8), float("nan"))])


def test_nearest_features():
    training = torch.tensor([[0.0, 0.0], [1.0, 1.0], [5.0, 5.0]])
    queries = torch.tensor([[0.9, 1.2], [0.8, 0.9], [9.0, 9.0]])
    assert torch.equal(nearest_features(queries, training), training[[1, 1, 2]])


def labeled(tmp_path, **counts):
    return [LabeledFile(tmp_path / name / f"{n}.png", name) for name, count in counts.items() for n in range(count)]


def test_files_are_drawn_evenly_from_the_classes(tmp_path):
    files = labeled(tmp_path, cat=10, dog=3, bee=10)
    drawn = draw_files(files, 6, seed=0)
    assert sorted(file.class_name for file in drawn) == ["bee", "bee", "cat", "cat", "dog", "dog"]
    assert draw_files(files, 9, seed=0)[:6] == drawn
    assert draw_files(files[::-1], 6, seed=0) == drawn
    assert draw_files(files, 6, seed=1) != drawn
    assert sorted(draw_files(files, None, seed=0), key=str) == sorted(files, key=str)


def test_split_of_a_training_run(tmp_path):
    files = labeled(tmp_path, cat=3, dog=2)
    write_split(tmp_path / "split.json", files[:2], files[3:], seed=0)
    assert read_split(tmp_path / "split.json", files) == (files[:2], files[3:])
    with pytest.raises(DatasetError, match=r"2 pictures of .* are not in the data, the first is dog/0.png"):
        read_split(tmp_path / "split.json", files[:3])
    (tmp_path / "torn.json").write_text("{")
    with pytest.raises(DatasetError, match="cannot be read as a split.json"):
        read_split(tmp_path / "torn.json", files)


def test_split_of_pictures_that_share_a_name(tmp_path):
    for root in ("a", "b"):
        (tmp_path / root / "cat").mkdir(parents=True)
        for name in ("0.png", f"{root}.png"):
            picture(8, 8).save(tmp_path / root / "cat" / name)
    files = find_labeled_images([tmp_path / "a", tmp_path / "b"])
    train, held_out = files[:2], files[2:]
    assert {file.short_key for file in train} & {file.short_key for file in held_out} == {"cat/0.png"}
    write_split(tmp_path / "split.json", train, held_out, seed=0)
    assert read_split(tmp_path / "split.json", files) == (train, held_out)
    old = {"train": ["cat/0.png", "cat/a.png"], "held_out": ["cat/b.png"]}
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert [[file.path.name for file in side] for side in read_split(tmp_path / "old.json", files)] == [
        ["0.png", "a.png", "0.png"],
        ["b.png"],
    ]


def test_results_are_found_again_and_torn_lines_are_not(tmp_path):
    file = ResultsFile(tmp_path / "new" / "results.jsonl")
    key = result_key({"metric": "fid", "seed": 0})
    assert key == result_key({"seed": 0, "metric": "fid"}) != result_key({"seed": 1, "metric": "fid"})
    assert file.find(key) is None
    file.append({"key": key, "value": 1.5})
    with file.path.open("a") as torn:
        torn.write('{"key": "other", "val')
    file.append({"key": "third", "value": 2})
    assert file.find(key) == {"key": key, "value": 1.5}
    assert file.find("other") is None
    assert file.find("third")["value"] == 2
    with pytest.raises(ValueError, match="JSON"):
        file.append({"key": "fourth", "value": float("nan")})
    assert json.loads(file.path.read_text().splitlines()[-1])["key"] == "third"
