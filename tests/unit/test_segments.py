"""Class pixels and segmentation scores; the segmenter is torchvision's smallest, with random weights."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import segmentation

from pipelines.__main__ import main
from pipelines.commands import call
from pipelines.conversion.report import ConversionError
from pipelines.images.formats import ImageError, read_image
from pipelines.metrics.features import MetricError
from pipelines.metrics.segments import Segments, read_labels, segmentation_score, segmentation_scores
from pipelines.networks.segmenter import NETWORKS, Segmenter, _recognize
from pipelines.networks.torchvision_weights import imagenet_normalize
from tests.tiny import picture, seeded, tiny_cut, tiny_oeft

CLASSES = 4


def random_weights(name, classes=CLASSES):
    aux = {} if name.startswith("lraspp") else {"aux_loss": True}
    with torch.device("meta"):
        network = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=classes, **aux)
    return network.state_dict()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    state = {}
    for key, value in random_weights("lraspp_mobilenet_v3_large").items():
        if key.endswith("num_batches_tracked"):
            continue  # as in older files
        if value.ndim > 1:
            state[key] = torch.randn(value.shape, generator=seeded(len(state))) * (2 / value[0].numel()) ** 0.5
        else:
            state[key] = torch.ones(value.shape) if key.endswith(("var", "1.weight")) else torch.zeros(value.shape)
    path = tmp_path_factory.mktemp("segmenter") / "lraspp.safetensors"
    save_file(state, path)
    return path


@pytest.fixture(scope="module")
def segments(file):
    return Segments(Segmenter.from_file(file), "lraspp.safetensors", "00", (1, 2))


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_told_apart(name):
    found, last = _recognize(random_weights(name))
    assert (found, len(last)) == (name, CLASSES)


@torch.no_grad()
def test_labels_are_those_of_torchvision(segments):
    image = torch.rand(3, 40, 56, generator=seeded(1)) * 2 - 1
    labels = segments.of(image)
    assert labels.shape == (40, 56)
    assert len(labels.unique()) > 1
    logits = segments.network.network(imagenet_normalize(image[None]))["out"][0]
    assert torch.equal(labels, logits.argmax(dim=0))
    share = ((labels == 1) | (labels == 2)).double().mean()
    assert float(segments.share(labels)) == pytest.approx(float(share))


def test_files_of_other_networks_are_refused(tmp_path, file):
    save_file({"conv.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ConversionError, match="is no segmentation network of torchvision: fcn_resnet50"):
        Segmenter.from_file(tmp_path / "other.safetensors")
    save_file({"classifier.low_classifier.bias": torch.zeros(4)}, tmp_path / "cut.safetensors")
    with pytest.raises(ConversionError, match="missing"):
        Segmenter.from_file(tmp_path / "cut.safetensors")


def test_scores_written_out(segments):
    random = np.random.default_rng(0)
    pairs = [(random.integers(0, CLASSES, (9, 7)), random.integers(0, 3, (9, 7))) for _ in range(3)]
    confusions = torch.stack(
        [segments.confusion(torch.from_numpy(found), torch.from_numpy(truth)[None]) for found, truth in pairs]
    )
    found, truth = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
    there = range(3)  # label 3 is nowhere true
    ious = [((found == k) & (truth == k)).sum() / ((found == k) | (truth == k)).sum() for k in there]
    recalls = [(found[truth == k] == k).mean() for k in there]
    scores = segmentation_scores(confusions)
    assert scores["mean_iou"] == pytest.approx(np.mean(ious), rel=1e-3)
    assert scores["pixel_accuracy"] == pytest.approx((found == truth).mean(), rel=1e-3)
    assert scores["class_accuracy"] == pytest.approx(np.mean(recalls), rel=1e-3)
    score = segmentation_score(confusions)
    assert score.value == scores["mean_iou"]
    assert score.error > 0
    assert segmentation_score(confusions[:1]).error is None
    nothing = torch.zeros(2, CLASSES**2)
    assert segmentation_score(torch.cat([confusions, nothing])) == score
    with pytest.raises(MetricError, match="hold none of the segmenter's labels"):
        segmentation_score(nothing)


def test_label_maps_of_other_sizes_and_unknown_labels(segments):
    found = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1]])
    truth = torch.tensor([[[0, 255]]])
    matrix = segments.confusion(found, truth).view(CLASSES, CLASSES)
    assert matrix.sum() == matrix[0, 0] == 4  # 255 counts nowhere


def test_label_maps(tmp_path):
    values = np.array([[0, 3], [7, 255]], dtype=np.uint8)
    palette = Image.fromarray(values, mode="P")
    palette.putpalette(list(range(256)) * 3)
    for name, image in (("gray", Image.fromarray(values)), ("palette", palette)):
        image.save(tmp_path / f"{name}.png")
        assert read_labels(tmp_path / f"{name}.png").tolist() == [values.tolist()]
    picture().save(tmp_path / "color.png")
    with pytest.raises(ImageError, match="is no label map"):
        read_labels(tmp_path / "color.png")
    (tmp_path / "broken.png").write_bytes(b"x")
    with pytest.raises(ImageError, match="cannot be read as a label map"):
        read_labels(tmp_path / "broken.png")


@pytest.fixture
def evaluate(tmp_path, file, monkeypatch):
    tiny_oeft().save_pretrained(tmp_path / "extractor")
    load = call.load
    monkeypatch.setattr(call, "load", lambda name, device: tiny_cut() if name == "cut" else load(name, device))

    def run(*words):
        options = ["--extractor", tmp_path / "extractor", "--segmenter", file, "--output", tmp_path / "results.jsonl"]
        code = main([str(word) for word in ("evaluate", *words, *options)])
        path = tmp_path / "results.jsonl"
        return code, [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    return run


def test_class_pixels_of_a_checkpoint(evaluate, segments, tmp_path, capsys):
    for number, side in enumerate(("testA", "testB")):
        (tmp_path / "data" / side).mkdir(parents=True)
        for index in range(3):
            picture(40, 36, number * 10 + index).save(tmp_path / "data" / side / f"{index}.png")
    words = ["cut", "--data", tmp_path / "data", "--metrics", "pixels", "lpips", "--labels", 2, 1]
    code, lines = evaluate(*words)
    assert code == 0
    named = [(line["system"], line["metric"]) for line in lines]
    assert named == [("real", "pixels"), ("input", "pixels"), ("cut", "pixels"), ("cut", "lpips")]
    for line, side in zip(lines, ("testB", "testA"), strict=False):
        shares = []
        for path in sorted((tmp_path / "data" / side).iterdir()):
            with torch.no_grad():
                labels = segments.of(read_image(path).pixels)
            shares.append(float(((labels == 1) | (labels == 2)).double().mean()))
        assert line["value"] == pytest.approx(np.mean(shares), rel=1e-3)
        assert line["counts"] == {"pictures": 3}
        assert line["extractor"]["labels"] == [1, 2]
        assert line["extractor"]["network"] == "lraspp_mobilenet_v3_large"
        assert "by lraspp.safetensors" in line["protocol"]
        assert not line["published"]["comparable"]
    assert evaluate(*words[:-2], 4)[0] == 2
    assert "--labels: 4; the network has labels 0 to 3" in capsys.readouterr().err


def test_segmentation_score_of_a_folder(evaluate, segments, tmp_path):
    (tmp_path / "generated").mkdir()
    (tmp_path / "maps").mkdir()
    for index in range(3):
        image = picture(40, 36, index)
        image.save(tmp_path / "generated" / f"{index}.png")
        with torch.no_grad():
            labels = segments.of(read_image(image).pixels)
        labels[:18] = 3 - labels[:18] if index else labels[:18]  # the upper half is another one in two of three
        Image.fromarray(labels.numpy().astype(np.uint8)).save(tmp_path / "maps" / f"{index}.png")
    words = ["--generated", tmp_path / "generated", "--data", tmp_path / "maps", "--metrics", "segmentation"]
    code, (line,) = evaluate(*words)
    assert code == 0
    assert line["pixel_accuracy"] == pytest.approx(2 / 3)
    assert 0 < line["value"] == line["mean_iou"] < 1
    assert line["interval"][0] < line["value"] < line["interval"][1]
    assert line["counts"] == {"pictures": 3}
