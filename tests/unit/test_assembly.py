"""Checkpoints made of single component files of other repositories."""

import argparse
import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from safetensors.torch import save

from pipelines import OEFTPipeline, load_pipeline
from pipelines.commands import pin
from pipelines.hub import made_folder
from pipelines.hub.download import fetch, locate
from pipelines.hub.errors import CheckpointError
from pipelines.hub.registry import get_checkpoint
from tests.tiny_pipeline import TinyPipeline, make_pipeline

REPO = "org/single"


@pytest.fixture
def net():
    return make_pipeline(seed=3, width=5).net


@pytest.fixture
def source(hub, net):
    """The Hub holds one network in a foreign layout, beside things that are not asked for."""
    weights = save(net.state_dict() | {"classifier.weight": torch.ones(9)})
    commit = hub.add(REPO, {"model.safetensors": weights, "config.json": b"{}", "pytorch_model.bin": b"pickle"})
    component = {"repo_id": REPO, "filename": "model.safetensors", "network": "TinyNet", "config": {"width": 5}}
    sha256 = hashlib.sha256(weights).hexdigest()
    files = [{"path": "net/model.safetensors", "bytes": len(weights), "sha256": sha256}]
    return {"source": {"components": {"net": {**component, "revision": commit}}}, "files": files}


def unpin(source):
    source["source"]["components"]["net"]["revision"] = "main"
    source["files"] = []


def same(net, other):
    return all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("pinned", [True, False])
def test_component_file_becomes_a_pipeline(hub, register, source, net, pinned):
    commit = hub.commits[REPO, "main"]
    if not pinned:
        unpin(source)
    register(**source)
    state = torch.random.get_rng_state()
    pipe = TinyPipeline.from_pretrained("tiny")
    assert torch.equal(state, torch.random.get_rng_state())
    assert same(pipe.net, net)
    assert pipe.source_record["checkpoint"] == "tiny"
    assert pipe.source_record["revision"] == commit
    assert [request.split("/")[-1] for request in hub.transfers()] == ["model.safetensors"]


def test_pinned_component_asks_nothing_the_second_time(hub, register, source):
    register(**source)
    first = fetch("tiny", pipeline_class=TinyPipeline)
    hub.close()
    hub.requests.clear()
    assert fetch("tiny", pipeline_class=TinyPipeline) == first
    assert hub.requests == []


def test_unpinned_component_loads_from_the_cache_without_a_server(hub, register, source):
    unpin(source)
    register(**source)
    first = locate("tiny", pipeline_class=TinyPipeline)
    hub.close()
    assert locate("tiny", pipeline_class=TinyPipeline) == first


def test_damaged_assembled_folder_is_made_again(register, source, net):
    register(**source)
    weights = fetch("tiny", pipeline_class=TinyPipeline) / "net/diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert same(TinyPipeline.from_pretrained("tiny").net, net)


def test_interrupted_assembly_leaves_nothing_to_load(register, source, monkeypatch, tmp_path):
    register(**source)
    save_pretrained = TinyPipeline.save_pretrained

    def interrupted(pipe, folder):
        save_pretrained(pipe, folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(TinyPipeline, "save_pretrained", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch("tiny", pipeline_class=TinyPipeline)
    assert list((tmp_path / "assembled").glob("*/model_index.json")) == []


def test_two_threads_assemble_once(register, source, monkeypatch):
    register(**source)
    made = []
    save_pretrained = TinyPipeline.save_pretrained
    monkeypatch.setattr(TinyPipeline, "save_pretrained", lambda *given: made.append(save_pretrained(*given)))
    with ThreadPoolExecutor(2) as pool:
        folders = set(pool.map(lambda _: fetch("tiny", pipeline_class=TinyPipeline), range(2)))
    assert len(folders) == len(made) == 1


def test_changed_config_is_assembled_anew(register, source):
    register(**source)
    first = fetch("tiny", pipeline_class=TinyPipeline)
    source["source"]["components"]["net"]["config"] = {"width": 6}
    register(**source)
    with pytest.raises(CheckpointError, match="'model.safetensors' of 'org/single' cannot be used: .*does not fit"):
        fetch("tiny", pipeline_class=TinyPipeline)
    assert first.is_dir()


def test_damaged_source_is_never_assembled(hub, register, source, tmp_path):
    register(**source)
    hub.flip["model.safetensors"] = 2
    with pytest.raises(CheckpointError, match="does not have the expected sha256, also after a second download"):
        fetch("tiny", pipeline_class=TinyPipeline)
    assert list((tmp_path / "assembled").glob("*/model_index.json")) == []


def test_missing_component_file(hub, register, source):
    unpin(source)
    source["source"]["components"]["net"]["filename"] = "other.safetensors"
    register(**source)
    with pytest.raises(CheckpointError, match="'org/single' at revision 'main' has no file 'other.safetensors'"):
        fetch("tiny", pipeline_class=TinyPipeline)


def test_unknown_network_is_refused(hub, register, source):
    source["source"]["components"]["net"]["network"] = "VGGBackbone"
    register(**source)
    with pytest.raises(CheckpointError, match="wants 'VGGBackbone' as 'net'; TinyPipeline knows TinyNet"):
        fetch("tiny", pipeline_class=TinyPipeline)
    assert hub.requests == []


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("oeft-vgg19", {"blocks": [[4], [4]], "taps": ["relu1_1", "relu2_1"]}),
        ("oeft-resnet50", {"depths": [1, 1, 1, 1], "width": 4, "taps": ["stem", "layer1"]}),
    ],
)
def test_shipped_entries_with_small_networks(hub, register, name, config):
    source = get_checkpoint(name).source["components"]["backbone"]
    net = OEFTPipeline.network_classes[source["network"]](**config)
    weights = save(net.state_dict() | {"classifier.weight" if "vgg" in name else "fc.weight": torch.ones(9)})
    hub.add(source["repo_id"], {source["filename"]: weights})
    path = register(
        id=name, pipeline="OEFTPipeline", source={"components": {"backbone": {**source, "config": config}}}
    )
    pin.run(argparse.Namespace(id=name, file=path))
    pipe = load_pipeline(name)
    assert same(pipe.backbone, net)
    assert list(pipe.backbone.taps) == config["taps"]


def test_default_cache_is_under_the_home_of_the_client(monkeypatch):
    monkeypatch.delenv("TRANSLATION_HUB_CACHE", raising=False)
    monkeypatch.setattr(made_folder.constants, "HF_HOME", "/home/someone/hf")
    assert str(made_folder._cache_folder()) == "/home/someone/hf/translation-hub"


def test_cache_that_cannot_be_written_is_named(register, source, monkeypatch, tmp_path):
    register(**source)
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRANSLATION_HUB_CACHE", str(tmp_path / "file/cache"))
    with pytest.raises(CheckpointError, match="file/cache cannot be written .*: set TRANSLATION_HUB_CACHE"):
        fetch("tiny", pipeline_class=TinyPipeline)
