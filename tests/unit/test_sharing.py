"""A bundled checkpoint that uses a component of another one, and optional components."""

import json
import shutil
from typing import ClassVar

import pytest
import torch

import pipelines
from pipelines import load_pipeline
from pipelines.__main__ import main
from pipelines.base import TranslationPipeline
from pipelines.commands import published_entry
from pipelines.commands.doctor import examine
from pipelines.hub import registry
from pipelines.hub.components import describe_components
from pipelines.hub.devices import DeviceManager
from pipelines.hub.download import fetch
from pipelines.hub.errors import CheckpointError
from pipelines.hub.verify import file_sha256
from tests.tiny_pipeline import TinyNet, make_pipeline

NET, PRIOR = (f"{name}/diffusion_pytorch_model.safetensors" for name in ("net", "prior"))
CARD = "---\nlicense: mit\n---\n# Borrower\n\n## Training\n\nNone.\n"


class SharingPipeline(TranslationPipeline):
    network_classes: ClassVar[dict[str, type]] = {"TinyNet": TinyNet}
    _optional_components: ClassVar[list[str]] = ["prior"]

    def __init__(self, net: TinyNet, prior: TinyNet | None = None):
        super().__init__()
        self.register_modules(net=net, prior=prior)


def net(seed):
    return make_pipeline(seed).net


def same(network, other):
    return all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Two pinned bundled checkpoints: `lender`, and `borrower`, which has a prior of its own but not its net."""
    monkeypatch.setitem(pipelines._MODULES, "SharingPipeline", SharingPipeline.__module__)
    monkeypatch.setitem(published_entry.TASK_OF, "SharingPipeline", "exemplar")
    monkeypatch.setenv("TRANSLATION_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TRANSLATION_HUB_DEVICE", "cpu")
    monkeypatch.setattr(registry, "REGISTRY_FILE", tmp_path / "checkpoints.json")
    SharingPipeline(net(0)).save_pretrained(tmp_path / "lender")
    SharingPipeline(net(0), net(1)).save_pretrained(tmp_path / "borrower")
    shutil.rmtree(tmp_path / "borrower/net")
    (tmp_path / "borrower/README.md").write_text(CARD)
    common = {"task": "exemplar", "pipeline": "SharingPipeline", "license": "mit", "training_data": "None."}
    sources = {
        "borrower": {"bundled": "borrower", "shared": {"net": "lender"}},
        "lender": {"bundled": "lender"},
    }
    entries = [{"id": name, "title": name, "source": source, **common} for name, source in sources.items()]
    registry.REGISTRY_FILE.write_text(json.dumps(entries))
    for name in sources:
        assert main(["pin", name]) == 0
    return tmp_path


def test_shared_component_is_loaded_from_the_other_folder(weights, monkeypatch):
    monkeypatch.setenv("TRANSLATION_HUB_STRICT", "1")
    for pipe in (load_pipeline("borrower"), SharingPipeline.from_pretrained("borrower")):
        assert same(pipe.net, net(0))
        assert same(pipe.prior, net(1))
        hashes = {NET: file_sha256(weights / "lender" / NET), PRIOR: file_sha256(weights / "borrower" / PRIOR)}
        assert pipe.source_record == {"checkpoint": "borrower", "revision": None, "sha256": hashes}


def test_given_component_is_used_instead(weights):
    given = net(7)
    pipe = SharingPipeline.from_pretrained("borrower", net=given)
    assert pipe.net is given
    assert list(pipe.source_record["sha256"]) == [PRIOR]


def test_only_own_files_are_pinned(weights, capsys):
    borrower, _ = json.loads(registry.REGISTRY_FILE.read_text())
    paths = [file["path"] for file in borrower["files"]]
    assert paths == ["README.md", "model_index.json", "prior/config.json", PRIOR]
    shutil.copytree(weights / "lender/net", weights / "borrower/net")
    assert main(["pin", "borrower"]) != 0
    message = "'borrower', field `files`: must be without net/, which `source.shared` takes from 'lender'."
    assert message in capsys.readouterr().err


def test_damaged_shared_file_is_refused(weights):
    (weights / "lender" / NET).write_bytes(b"x")
    with pytest.raises(CheckpointError, match=f"'{NET}' of checkpoint 'lender' does not have the expected sha256"):
        load_pipeline("borrower")


def test_what_is_trained_again_and_pinned_is_loaded(weights):
    fetch("borrower")
    SharingPipeline(net(2)).save_pretrained(weights / "lender")
    assert main(["pin", "lender"]) == 0
    assert same(load_pipeline("borrower").net, net(2))


def test_damaged_copy_is_made_again(weights):
    (fetch("borrower") / NET).write_bytes(b"x")
    assert same(load_pipeline("borrower").net, net(0))


def test_folder_alone_says_what_it_lacks(weights):
    with pytest.raises(CheckpointError, match="has no folder 'net': load it by its id, 'borrower', or give `net`"):
        load_pipeline(weights / "borrower")
    assert same(SharingPipeline.from_pretrained(weights / "borrower", net=net(0)).prior, net(1))
    shutil.copytree(weights / "borrower", weights / "unregistered")
    with pytest.raises(CheckpointError, match="unregistered has no folder 'net': give `net`"):
        load_pipeline(weights / "unregistered")


def test_saved_pipeline_stands_alone(weights, tmp_path):
    load_pipeline("borrower").save_pretrained(tmp_path / "saved")
    pipe = load_pipeline(tmp_path / "saved")
    assert same(pipe.net, net(0))
    assert same(pipe.prior, net(1))
    assert (tmp_path / "saved/README.md").read_text() == CARD


def test_published_checkpoint_stands_alone(hub, weights, capsys):
    capsys.readouterr()
    assert main(["publish", str(weights / "borrower"), "--repo-id", "org/whole"]) == 0
    entry = json.loads(capsys.readouterr().out)
    assert entry["source"] == {"repo_id": "org/whole", "revision": hub.commits["org/whole", "main"]}
    assert {NET, PRIOR, "README.md"} < {file["path"] for file in entry["files"]}
    registry.REGISTRY_FILE.write_text(json.dumps([entry]))
    assert same(load_pipeline("borrower").net, net(0))
    assert same(load_pipeline("org/whole").prior, net(1))


def test_changed_folder_is_not_published(hub, weights, capsys):
    (weights / "borrower/notes.json").write_text("{}")
    assert main(["publish", str(weights / "borrower"), "--repo-id", "org/whole"]) != 0
    assert "does not hold the files that checkpoint 'borrower' is pinned to" in capsys.readouterr().err
    assert hub.repos == {}


@pytest.mark.parametrize("first", ["lender", "borrower"])
def test_shared_network_is_counted_and_loaded_once(weights, first):
    assert describe_components("borrower")["net"].key == describe_components("lender")["net"].key
    manager = DeviceManager(device=torch.device("cpu"))
    users = {"lender", "borrower"}
    for name in users:
        manager.add(name)
    assert {row.component.split(".")[1]: set(row.pipelines) for row in manager.report()} == {
        "net": users,
        "prior": {"borrower"},
    }
    with manager.use(first) as pipe:
        network = pipe.net
    with manager.use((users - {first}).pop()) as other:
        assert other.net is network


def test_doctor_counts_the_shared_network_once(weights):
    report = examine(probe=False)
    assert report["problems"] == []
    assert [(row["id"], row["where"], row["pinned"]) for row in report["checkpoints"]] == [
        ("borrower", "bundled", True),
        ("lender", "bundled", True),
    ]
    assert [(row["component"], row["pipelines"]) for row in report["device_map"]] == [
        ("borrower.net", ("borrower", "lender")),
        ("borrower.prior", ("borrower",)),
    ]


def test_doctor_reports_a_damaged_shared_file(weights):
    (weights / "lender" / NET).write_bytes(b"x")
    problems = examine(probe=False)["problems"]
    assert len(problems) == 2
    assert all("of checkpoint 'lender' does not have the expected sha256" in problem for problem in problems)


@pytest.mark.parametrize("index", [{"prior": [None, None]}, {}])
def test_optional_component_may_be_absent(weights, index):
    path = weights / "lender/model_index.json"
    kept = {name: value for name, value in json.loads(path.read_text()).items() if name != "prior"}
    path.write_text(json.dumps(kept | index))
    pipe = SharingPipeline.from_pretrained(weights / "lender")
    assert pipe.prior is None
    assert same(pipe.net, net(0))
    assert list(pipe.source_record["sha256"]) == [NET]


def test_optional_component_that_is_absent_is_not_described(weights):
    assert list(describe_components("lender")) == ["net"]
    shutil.rmtree(weights / "lender")
    assert list(describe_components("lender")) == ["net"]
