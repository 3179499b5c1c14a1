"""What a pipeline folder must hold before it is loaded, and what saving and publishing keep."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import pipelines
from pipelines import load_pipeline
from pipelines.base import TranslationPipeline, call_step_callback
from pipelines.hub.errors import CheckpointError
from pipelines.hub.registry import UnknownCheckpointError
from pipelines.hub.verify import file_sha256
from tests.tiny_pipeline import TinyNet, TinyPipeline, make_pipeline

WEIGHTS = "net/diffusion_pytorch_model.safetensors"


def same(pipe, other):
    return all(torch.equal(a, b) for a, b in zip(pipe.net.parameters(), other.net.parameters(), strict=True))


def test_folder_round_trip(tiny_folder):
    state = torch.random.get_rng_state()
    pipe = TinyPipeline.from_pretrained(tiny_folder)
    assert torch.equal(state, torch.random.get_rng_state())
    assert same(pipe, make_pipeline())
    assert pipe.source_record == {
        "checkpoint": str(tiny_folder),
        "revision": None,
        "sha256": {WEIGHTS: file_sha256(tiny_folder / WEIGHTS)},
    }


def test_pipeline_made_in_code_has_no_source():
    assert make_pipeline().source_record == {"checkpoint": None, "revision": None, "sha256": {}}


def test_options_as_diffusers_has_them(tiny_folder):
    assert TinyPipeline.from_pretrained(tiny_folder, dtype=torch.bfloat16).net.dtype == torch.bfloat16
    assert TinyPipeline.from_pretrained(tiny_folder, device_map="cpu").net.device.type == "cpu"
    assert TinyPipeline.from_pretrained(tiny_folder, preset="fast").config.preset == "fast"


def test_given_component_replaces_the_one_of_the_folder(tiny_folder):
    net = TinyNet(7)
    (tiny_folder / WEIGHTS).unlink()
    pipe = TinyPipeline.from_pretrained(tiny_folder, net=net)
    assert pipe.net is net
    assert pipe.source_record["sha256"] == {}


def test_variant(tiny_folder):
    make_pipeline(seed=5).save_pretrained(tiny_folder, variant="fp16")
    assert same(TinyPipeline.from_pretrained(tiny_folder, variant="fp16"), make_pipeline(seed=5))
    assert same(TinyPipeline.from_pretrained(tiny_folder), make_pipeline())


def test_shards(tmp_path):
    make_pipeline(width=64).save_pretrained(tmp_path, max_shard_size="4KB")
    assert len(list((tmp_path / "net").glob("*-of-*.safetensors"))) == 2
    assert same(TinyPipeline.from_pretrained(tmp_path), make_pipeline(width=64))


def change(folder, edit):
    tensors = load_file(folder / WEIGHTS)
    edit(tensors)
    save_file(tensors, folder / WEIGHTS)


def truncated(folder):
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-8])


def pickled(folder):
    (folder / WEIGHTS).unlink()
    torch.save({}, folder / "net/diffusion_pytorch_model.bin")


def edit_index(**fields):
    def edit(folder):
        path = folder / "model_index.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return edit


SPOILED = {
    "missing": (lambda folder: change(folder, lambda t: t.pop("conv.bias")), r"1 missing \(conv.bias\)"),
    "unexpected": (
        lambda folder: change(folder, lambda t: t.update(extra=torch.ones(1))),
        r"do not fit TinyNet: 1 unexpected \(extra\)",
    ),
    "misshapen": (
        lambda folder: change(folder, lambda t: t.update({"conv.bias": torch.ones(5)})),
        r"1 misshapen \(conv.bias is \(5,\) and should be \(4,\)\)",
    ),
    "many": (
        lambda folder: change(folder, lambda t: t.update({str(i): torch.ones(1) for i in range(9)})),
        r"9 unexpected \(0, 1, 2, \.\.\.\)",
    ),
    "truncated": (truncated, "diffusion_pytorch_model.safetensors is cut off or damaged"),
    "pickled": (pickled, "It holds diffusion_pytorch_model.bin: pickle files are never loaded"),
    "empty": (lambda folder: (folder / WEIGHTS).unlink(), "net has no diffusion_pytorch_model.safetensors"),
    "no_index": (lambda folder: (folder / "model_index.json").unlink(), "it has no model_index.json"),
    "broken_index": (lambda folder: (folder / "model_index.json").write_text("{"), "is not valid JSON"),
    "nameless_index": (lambda folder: (folder / "model_index.json").write_text("[]"), "names no pipeline class"),
    "no_config": (lambda folder: (folder / "net/config.json").unlink(), "TinyNet cannot be built from .*config.json"),
    "wrong_config": (
        lambda folder: (folder / "net/config.json").write_text('{"width": "x"}'),
        "TinyNet cannot be built",
    ),
    "other_pipeline": (edit_index(_class_name="CUTPipeline"), "holds a CUTPipeline, not a TinyPipeline"),
    "foreign_code": (
        edit_index(net=["os", "system"]),
        "names os.system as 'net', which is no network of",
    ),
    "same_name_elsewhere": (edit_index(net=["evil", "TinyNet"]), "names evil.TinyNet as 'net'"),
    "no_class": (edit_index(net="TinyNet"), "as 'net', which is no network"),
    "extra_component": (edit_index(spy=["os", "system"]), "has 'spy', which TinyPipeline does not take"),
}


@pytest.mark.parametrize(("spoil", "message"), SPOILED.values(), ids=SPOILED.keys())
def test_spoiled_folder_is_refused(tiny_folder, spoil, message):
    spoil(tiny_folder)
    with pytest.raises(CheckpointError, match=message):
        TinyPipeline.from_pretrained(tiny_folder)


@pytest.mark.parametrize(
    "option",
    [{"custom_pipeline": "x"}, {"trust_remote_code": True}, {"use_flashpack": True}, {"use_safetensors": False}],
)
def test_options_that_run_code_are_refused(tiny_folder, option):
    with pytest.raises(ValueError, match=f"`{next(iter(option))}.*is not supported"):
        TinyPipeline.from_pretrained(tiny_folder, **option)


def test_checkpoint_id_and_its_class(tiny_folder, register, monkeypatch):
    monkeypatch.setitem(pipelines._MODULES, "TinyPipeline", TinyPipeline.__module__)
    register(source={"bundled": str(tiny_folder)})
    for pipe in (TinyPipeline.from_pretrained("tiny"), load_pipeline("tiny"), load_pipeline(tiny_folder)):
        assert type(pipe) is TinyPipeline
        assert same(pipe, make_pipeline())
    with pytest.raises(CheckpointError, match="'tiny' is for TinyPipeline, not TranslationPipeline"):
        TranslationPipeline.from_pretrained("tiny")
    with pytest.raises(UnknownCheckpointError, match="did you mean tiny"):
        TinyPipeline.from_pretrained("tin")
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="is for TinyPipeline, which this version does not have"):
        load_pipeline(tiny_folder)


def test_pickle_is_never_saved(tmp_path):
    with pytest.raises(ValueError, match="saved as safetensors only"):
        make_pipeline().save_pretrained(tmp_path, safe_serialization=False)


def test_saved_folder_names_no_path_of_this_machine(tiny_folder, tmp_path):
    TinyPipeline.from_pretrained(tiny_folder).save_pretrained(tmp_path / "copy")
    assert str(tmp_path) not in (tmp_path / "copy/model_index.json").read_text()


def test_published_pipeline_comes_back_equal(hub):
    address = make_pipeline(seed=2).push_to_hub("org/mine")
    pipe = TinyPipeline.from_pretrained("org/mine")
    assert same(pipe, make_pipeline(seed=2))
    assert pipe.source_record["checkpoint"] == "org/mine"
    assert pipe.source_record["revision"] == address.split("/")[-1]
    commit = hub.add("org/mine", {"README.md": b"gone"})
    assert commit != pipe.source_record["revision"]
    assert same(TinyPipeline.from_pretrained("org/mine", revision=pipe.source_record["revision"]), pipe)


def test_published_readme_is_the_one_of_the_folder(hub, tiny_folder, tmp_path):
    (tiny_folder / "README.md").write_text("# What these weights are\n")
    TinyPipeline.from_pretrained(tiny_folder).push_to_hub("org/mine")
    assert hub.repos["org/mine"]["main"]["README.md"] == b"# What these weights are\n"
    shutil.copytree(tiny_folder, tmp_path / "named")
    (tmp_path / "named/README.md").write_text("# Changed\n")
    TinyPipeline.from_pretrained(tiny_folder).save_pretrained(
        tmp_path / "named", push_to_hub=True, repo_id="org/second"
    )
    assert hub.repos["org/second"]["main"]["README.md"] == b"# Changed\n"


@pytest.mark.parametrize(("answer", "stop"), [(None, False), ({}, False), ({"stop": True}, True), ({"x": 1}, False)])
def test_step_callback(answer, stop):
    seen = []
    tensors = {"warped": torch.zeros(1)}
    result = call_step_callback(lambda *given: seen.append(given) or answer, "pipe", 3, 10, tensors)
    assert result is stop
    assert seen == [("pipe", 3, 10, tensors)]


def test_step_callback_must_return_a_dict():
    with pytest.raises(TypeError, match="returned a bool; it must return None or a dict"):
        call_step_callback(lambda *given: True, "pipe", 0, 1, {})
    assert call_step_callback(None, "pipe", 0, 1, {}) is False
