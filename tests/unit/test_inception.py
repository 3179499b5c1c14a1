"""Inception-v3 from a file of weights, as torchvision's network and as that of published FIDs; weights are random."""

import json

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torchvision.models.inception import Inception3

from pipelines.__main__ import main
from pipelines.commands import extractor as extractor_command
from pipelines.conversion.report import ConversionError
from pipelines.metrics.features import FeatureExtractor, MetricError
from pipelines.metrics.measures import Measures
from pipelines.networks.inception import InceptionBackbone
from tests.tiny import picture, seeded


def random_weights(classes, aux_logits):
    """A state dict of torchvision's network whose features do not fade away."""
    with torch.device("meta"):
        shapes = Inception3(num_classes=classes, aux_logits=aux_logits, init_weights=False).state_dict()
    state = {}
    for key, value in shapes.items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(7)
        elif value.ndim > 1:
            state[key] = torch.randn(value.shape, generator=seeded(len(state))) * (2 / value[0].numel()) ** 0.5
        else:
            state[key] = torch.ones(value.shape) if key.endswith(("var", "weight")) else torch.zeros(value.shape)
    return {key: value.half() if value.is_floating_point() else value for key, value in state.items()}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files as torchvision and timm have them, with the classifier at a middle layer, and as pytorch-fid has them."""
    folder = tmp_path_factory.mktemp("inception")
    save_file(random_weights(1000, aux_logits=True), folder / "model.safetensors")
    older = {key: value for key, value in random_weights(1008, False).items() if "num_batches" not in key}
    torch.save(older, folder / "fid.pth")
    return {"torchvision": folder / "model.safetensors", "fid": folder / "fid.pth"}


@pytest.fixture(scope="module")
def networks(files):
    return {variant: InceptionBackbone.from_file(path) for variant, path in files.items()}


@pytest.fixture
def image():
    return torch.rand(2, 3, 83, 97, generator=seeded(3)) * 2 - 1


@torch.no_grad()
def test_features_are_those_of_torchvision(networks, image):
    theirs = Inception3(num_classes=1000, aux_logits=True, init_weights=False).eval()
    theirs.load_state_dict(random_weights(1000, aux_logits=True))
    theirs.fc = torch.nn.Identity()
    features = networks["torchvision"](image, taps=("Mixed_7c",))["Mixed_7c"].mean(dim=(2, 3))
    assert features.shape == (2, 2048)
    assert features.std() > 0.01
    torch.testing.assert_close(features, theirs(image), rtol=1e-4, atol=1e-5)


def padded_mean(x):
    """The mean of each place's neighbors that lie inside the picture, written out."""
    inside = F.pad(torch.ones_like(x[:1, :1]), (1, 1, 1, 1))
    total, count = F.pad(x, (1, 1, 1, 1)), 0
    height, width = x.shape[2:]
    windows = [(top, left) for top in range(3) for left in range(3)]
    count = sum(inside[:, :, top : top + height, left : left + width] for top, left in windows)
    return sum(total[:, :, top : top + height, left : left + width] for top, left in windows) / count


@pytest.mark.parametrize("name", ["Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6b", "Mixed_6e", "Mixed_7b", "Mixed_7c"])
@torch.no_grad()
def test_blocks_of_published_fids_pool_as_tensorflow(networks, image, name):
    layers = InceptionBackbone.layers
    before = layers[layers.index(name) - 1]
    for variant, network in networks.items():
        maps = network(image, taps=(before, name))
        hidden = F.max_pool2d(maps[before], 3, 2) if before == "Conv2d_4a_3x3" else maps[before]
        if variant == "torchvision":
            pooled = F.avg_pool2d(hidden, 3, 1, 1)
        else:
            pooled = F.max_pool2d(hidden, 3, 1, 1) if name == "Mixed_7c" else padded_mean(hidden)
        branch = getattr(network, name).branch_pool(pooled)
        torch.testing.assert_close(maps[name][:, -branch.shape[1] :], branch, rtol=1e-4, atol=1e-5)
    assert networks["fid"].variant == "fid"


@torch.no_grad()
def test_only_what_is_asked_for_is_computed(networks, image):
    network = networks["fid"]
    maps = network(image)
    assert tuple(maps) == network.taps
    assert [maps[tap].shape[1] for tap in network.taps] == [64, 192, 288, 768, 2048]
    assert torch.equal(network(image, taps=("Mixed_5d",))["Mixed_5d"], maps["Mixed_5d"])
    assert not network.train().training


def test_files_that_do_not_fit_are_refused(tmp_path):
    state = {key: value for key, value in random_weights(1008, False).items() if not key.startswith("fc.")}
    torch.save(state, tmp_path / "headless.pth")
    with pytest.raises(ConversionError, match="has no fc.weight; Inception-v3 of torchvision or timm has 1000"):
        InceptionBackbone.from_file(tmp_path / "headless.pth")
    torch.save({"fc.weight": torch.zeros(10, 4)}, tmp_path / "ten.pth")
    with pytest.raises(ConversionError, match="a last layer of 10 classes"):
        InceptionBackbone.from_file(tmp_path / "ten.pth")
    del state["Mixed_7a.branch3x3_1.conv.weight"]
    torch.save({**state, "fc.weight": torch.zeros(1008, 4), "new": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ConversionError, match=r"1 missing, 1 unexpected(.|\n)*Mixed_7a.branch3x3_1.conv.weight"):
        InceptionBackbone.from_file(tmp_path / "other.pth")


def features_of(extractor, image):
    return Measures(extractor)([(image, None)])["features"]


def test_pytorch_fid_mode(networks):
    big = torch.rand(3, 40, 500, generator=seeded(5)) * 2 - 1
    extractor = FeatureExtractor(networks["fid"], "inception", {}, resize="pytorch-fid", size=80)
    resized = F.interpolate((big[None] + 1) / 2, size=(80, 80), mode="bilinear", align_corners=False) * 2 - 1
    with torch.no_grad():
        expected = networks["fid"](resized, taps=("Mixed_7c",))["Mixed_7c"].mean(dim=(2, 3))
    torch.testing.assert_close(features_of(extractor, big), expected, rtol=1e-3, atol=1e-4)
    clean = FeatureExtractor(networks["fid"], "inception", {}, resize="clean", size=80)
    assert (features_of(clean, big) - expected).abs().max() > 0.01
    assert extractor.record["resize"] == "pytorch-fid"
    assert extractor.record["size"] == 80
    with pytest.raises(MetricError, match="a picture has 500 x 40 pixels; inception needs 75 on both sides"):
        features_of(FeatureExtractor(networks["fid"], "inception", {}, resize="none"), big)


def test_only_the_published_extractor_is_published(networks):
    def published(**changes):
        options = {"resize": "pytorch-fid", "size": 299, "published": True, **changes}
        return FeatureExtractor(networks["fid"], "inception", {}, **options).published

    assert published()
    assert not published(published=False)
    assert not published(resize="clean")
    assert not published(size=128)
    assert not published(tap="Mixed_6e")


@pytest.fixture
def folders(tmp_path):
    for number, name in enumerate(("real", "generated")):
        (tmp_path / name).mkdir()
        for index in range(3):
            picture(90, 80, number * 10 + index).save(tmp_path / name / f"{index}.png")
    return tmp_path


def evaluate(folders, *words):
    given = ["--generated", folders / "generated", "--data", folders / "real", "--output", folders / "results.jsonl"]
    code = main([str(word) for word in ("evaluate", *given, *words)])
    path = folders / "results.jsonl"
    return code, [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_command_measures_with_a_file(files, folders, monkeypatch):
    words = ["--extractor", f"inception:{files['fid']}", "--metrics", "fid", "kid"]
    code, lines = evaluate(folders, *words)
    assert code == 0
    for line in lines:
        assert (line["extractor"]["tap"], line["extractor"]["resize"]) == ("Mixed_7c", "pytorch-fid")
        assert line["extractor"]["size"] == 299
        assert line["extractor"]["id"] == "inception:fid.pth"
        assert len(line["extractor"]["sha256"]["fid.pth"]) == 64
        assert not line["published"]["comparable"]  # the weights are random
        assert "pytorch-fid to 299 px" in line["protocol"]
    monkeypatch.setattr(extractor_command, "PYTORCH_FID_SHA256", line["extractor"]["sha256"]["fid.pth"])
    (folders / "results.jsonl").unlink()
    lines = evaluate(folders, *words)[1]
    assert [line["published"]["comparable"] for line in lines] == [True, False]
    assert "their number must be the same" in lines[0]["published"]["why"]


def test_command_measures_with_a_file_of_the_hub(hub, files, folders, monkeypatch):
    name = "timm/inception_v3.tv_in1k"
    commit = hub.add(name, {"model.safetensors": files["torchvision"].read_bytes(), "config.json": b"{}"})
    words = ["--metrics", "kid", "--resize", "clean", "--size", 80, "--extractor"]
    code, lines = evaluate(folders, *words, f"inception:{name}")
    assert code == 0
    assert lines[0]["extractor"]["id"] == f"inception:{name}@{commit}"
    monkeypatch.setenv("TRANSLATION_HUB_STRICT", "1")
    assert evaluate(folders, *words, f"inception:{name}")[0] == 1
    assert evaluate(folders, *words, f"inception:{name}@{commit}") == (0, lines)


def test_wrong_extractors(folders, tmp_path, capsys):
    assert evaluate(folders, "--metrics", "fid", "--extractor", "inception:nowhere.pth")[0] == 2
    assert "there is no file nowhere.pth; a file of weights, or one of timm/inception_v3.tv_in1k" in (
        capsys.readouterr().err
    )
    (tmp_path / "page.pth").write_text("<html>")
    assert evaluate(folders, "--metrics", "fid", "--extractor", f"inception:{tmp_path / 'page.pth'}")[0] == 1
    assert "a web page" in capsys.readouterr().err
