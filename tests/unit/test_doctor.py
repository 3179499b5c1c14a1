"""The doctor, with a registry of its own and settings that take no time."""

import argparse
import json
from types import SimpleNamespace

import pytest
import torch

from pipelines.commands import doctor, probe
from pipelines.hub import registry
from pipelines.oeft.run import OEFTRun
from pipelines.oeft.settings import OEFTSettings
from pipelines.sincut.pipeline import SinCUTPipeline
from pipelines.sincut.run import SinCUTRun
from tests.tiny import TINY_SETTINGS, tiny_cut, tiny_deepi2i, tiny_deepi2i_stylegan, tiny_oeft
from tests.unit.tiny_sincut import TINY, tiny_trainer

REMOTE = {
    "repo_id": "timm/vgg19.tv_in1k",
    "filename": "model.safetensors",
    "revision": "main",
    "network": "VGGBackbone",
}


@pytest.fixture
def entries(tmp_path, monkeypatch):
    """The registry: a bundled starter and a checkpoint that is elsewhere. Changes are written by `write`."""
    tiny_oeft().save_pretrained(tmp_path / "starter")
    common = {"task": "exemplar", "pipeline": "OEFTPipeline", "license": "apache-2.0", "training_data": "None."}
    found = [
        {"id": "starter", "title": "Starter", "source": {"bundled": "starter"}, **common},
        {"id": "far", "title": "Far", "source": {"components": {"backbone": REMOTE}}, **common},
    ]
    path = tmp_path / "checkpoints.json"
    path.write_text(json.dumps(found))
    monkeypatch.setattr(registry, "REGISTRY_FILE", path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TRANSLATION_HUB_CACHE", str(tmp_path / "assembled"))
    monkeypatch.setenv("TRANSLATION_HUB_DEVICE", "cpu")
    monkeypatch.setattr(
        probe, "PRESETS", {"long": OEFTSettings(**vars(TINY_SETTINGS) | {"num_steps": 9}), "short": TINY_SETTINGS}
    )
    return path


def call(*words):
    parser = argparse.ArgumentParser()
    doctor.add_parser(parser.add_subparsers())
    return doctor.run(parser.parse_args(["doctor", *words]))


def test_json_holds_everything(entries, capsys):
    assert call("--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["machine"]["device"] == "cpu"
    assert report["machine"]["memory"] > report["machine"]["memory_free"] > 0
    assert report["machine"]["settings"]["TRANSLATION_HUB_DEVICE"] == "cpu"
    assert report["packages"]["torch"] == torch.__version__.split("+")[0]
    starter, far = report["checkpoints"]
    assert (starter["where"], starter["pinned"], starter["error"]) == ("bundled", False, None)
    assert starter["bytes"] == sum(path.stat().st_size for path in (entries.parent / "starter").rglob("*.*"))
    assert (far["where"], far["bytes"]) == ("to download", None)
    rows = {row["component"]: row for row in report["device_map"]}
    assert rows["starter.backbone"]["loaded_on"] == "cpu"
    assert rows["starter.backbone"]["bytes"] == 4 * (3 * 4 * 9 + 4 + 4 * 8 * 9 + 8)
    assert rows["far.backbone"]["bytes"] == 80_097_536  # VGG-19 without its classifier, in fp32
    assert rows["far.backbone"]["loaded_on"] is None
    short, long, skipped = report["estimates"]
    assert (short["run"], long["run"]) == ("preset short, 3 steps", "preset long, 9 steps")
    assert short["estimated_seconds"] > 0
    assert long["estimated_seconds"] > 0
    assert (skipped["checkpoint"], skipped["estimated_seconds"]) == ("far", None)
    assert skipped["reason"] == "not measured: its files are not here"
    assert report["problems"] == []


def test_the_table_says_the_same(entries, capsys):
    assert call() == 0
    text = capsys.readouterr().out
    for words in (
        "starter  OEFTPipeline  bundled",
        "to download  size unknown  not pinned",
        "Estimated time of a run",
    ):
        assert words in text
    assert "preset short, 3 steps  about " in text
    assert "Problems" not in text


def test_a_bundled_checkpoint_that_is_broken_is_a_problem(entries, capsys):
    weights = entries.parent / "starter" / "backbone" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert call() == 1
    assert "cut off" in capsys.readouterr().out.split("Problems")[1]


def test_a_bundled_checkpoint_that_is_missing_is_a_problem_also_without_the_probe(entries, capsys):
    (entries.parent / "starter").rename(entries.parent / "elsewhere")
    assert call("--no-probe") == 1
    text = capsys.readouterr().out
    assert "broken" in text
    assert "Estimated time" not in text


def test_a_wrong_setting_and_a_wrong_registry_are_problems(entries, monkeypatch, capsys):
    monkeypatch.setenv("TRANSLATION_HUB_DEVICE", "tpu")
    assert call() == 1
    assert "TRANSLATION_HUB_DEVICE is 'tpu'" in capsys.readouterr().out
    monkeypatch.setenv("TRANSLATION_HUB_DEVICE", "cpu")
    entries.write_text("{}")
    assert call("--json") == 1
    assert "must hold a list of entries" in json.loads(capsys.readouterr().out)["problems"][0]


def test_the_probe_ends_in_time(monkeypatch):
    monkeypatch.setattr(probe, "PRESETS", {"short": TINY_SETTINGS, "long": TINY_SETTINGS})
    first, second = probe.estimate_exemplar("starter", tiny_oeft(), limit=1e-9)
    assert (first.estimated_seconds, second.estimated_seconds) == (None, None)
    assert second.reason.startswith("not measured: ")


def test_an_estimate_counts_every_step(monkeypatch):
    many = OEFTSettings(**vars(TINY_SETTINGS) | {"num_steps": 10_000})
    monkeypatch.setattr(probe, "PRESETS", {"short": TINY_SETTINGS, "long": many})
    monkeypatch.setattr(OEFTRun, "step", lambda self: SimpleNamespace(seconds=2.0))
    short, long = probe.estimate_exemplar("starter", tiny_oeft())
    assert short.estimated_seconds == pytest.approx(2.0 * 3, abs=1)  # and the start and the rendering, tiny ones
    assert long.estimated_seconds == pytest.approx(2.0 * 10_000, abs=1)


@pytest.mark.parametrize(("make", "networks"), [(tiny_cut, 1), (tiny_deepi2i_stylegan, 3)])
def test_an_unpaired_checkpoint_is_timed_in_the_precision_that_it_takes(entries, capsys, make, networks):
    pipe = make()
    pipe.save_pretrained(entries.parent / "zebra")
    entry = {"id": "zebra", "title": "Zebra", "source": {"bundled": "zebra"}, "task": "unpaired"}
    entry |= {"pipeline": type(pipe).__name__, "license": "apache-2.0", "training_data": "None."}
    entries.write_text(json.dumps([entry]))
    assert call("--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["device_map"]) == networks
    (estimate,) = report["estimates"]
    assert estimate["run"] in ("one picture in fp32", "one picture in bf16")
    assert estimate["estimated_seconds"] > 0
    assert estimate["reason"] is None


def test_a_many_class_checkpoint_is_timed_for_one_class_and_for_all(entries, capsys):
    tiny_deepi2i().save_pretrained(entries.parent / "animals")
    entry = {"id": "animals", "title": "Animals", "source": {"bundled": "animals"}, "task": "many-class"}
    entry |= {"pipeline": "DeepI2IPipeline", "license": "apache-2.0", "training_data": "None."}
    entries.write_text(json.dumps([entry]))
    assert call("--json") == 0
    one, every = json.loads(capsys.readouterr().out)["estimates"]
    assert one["run"].startswith("one picture to one class in ")
    assert every["run"].startswith("one picture to all 7 classes in ")
    assert one["estimated_seconds"] > 0
    assert every["estimated_seconds"] > 0


@pytest.fixture
def tiny_presets(monkeypatch):
    presets = {"long": {**TINY, "num_steps": 160_000, "r1_every": 4}, "short": TINY}
    monkeypatch.setattr(probe, "SINCUT_PRESETS", presets)


def test_an_untrained_sincut_is_estimated_with_every_preset(entries, tiny_presets, capsys):
    SinCUTPipeline().save_pretrained(entries.parent / "pair")
    entry = {"id": "pair", "title": "Pair", "source": {"bundled": "pair"}, "task": "single-image"}
    entry |= {"pipeline": "SinCUTPipeline", "license": "apache-2.0", "training_data": "None."}
    entries.write_text(json.dumps([entry]))
    assert call("--json") == 0
    short, long = json.loads(capsys.readouterr().out)["estimates"]
    assert short["run"].startswith("preset short, 4 steps")
    assert long["run"].startswith("preset long, 160000 steps")
    assert 0 < short["estimated_seconds"] < long["estimated_seconds"]


def test_an_estimate_of_sincut_knows_which_steps_have_the_penalty(tiny_presets, monkeypatch):
    times = iter([9.0, 1.0, 1.0, 9.0, 5.0, 1.0])  # of each preset: kernels, with the penalty, without
    monkeypatch.setattr(SinCUTRun, "step", lambda run: SimpleNamespace(seconds=next(times)))
    _, long = probe.estimate_single_image("pair", SinCUTPipeline())
    assert long.estimated_seconds == 160_000 * (1.0 + 4.0 / 4)


def test_a_trained_sincut_is_timed():
    (estimate,) = probe.estimate_single_image("pair", SinCUTPipeline(tiny_trainer().result()))
    assert estimate.run == "one picture"
    assert estimate.estimated_seconds > 0


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.04, "0.0 s"), (119, "119.0 s"), (300, "5.0 min"), (9000, "2.5 h"), (864000, "10.0 days")]
)
def test_long_runs_are_said_in_long_units(seconds, words):
    assert doctor._duration(seconds) == words
