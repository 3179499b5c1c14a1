import json
from functools import wraps
from types import SimpleNamespace

import pytest
import torch

from pipelines.__main__ import main
from pipelines.commands import call, evaluated_classes
from pipelines.commands import evaluate as evaluate_command
from pipelines.metrics import evaluation
from pipelines.training.datasets import find_labeled_images, write_split
from tests.tiny import picture, tiny_cut, tiny_oeft

CLASSES = ("ant", "bee", "cat")


class FakeClasses:
    """Stands in for a many-class pipeline: its pictures tell the class and the draw."""

    class_names = ["unused", *CLASSES]
    source_record = {"checkpoint": "fake", "revision": "c" * 40, "sha256": {"generator/weights": "00"}}
    generator = SimpleNamespace(config={"resolution": 16})
    _execution_device = torch.device("cpu")

    def __init__(self):
        self.asked = []

    def __call__(self, image, target_class, num_images_per_class=1, generator=None):
        self.asked.append((image, target_class, num_images_per_class, generator.initial_seed()))
        names = [name for name in target_class for _ in range(num_images_per_class)]
        seeds = [self.class_names.index(name) * 100 + generator.initial_seed() % 97 for name in names]
        images = [picture(16, 16, seed + draw) for draw, seed in enumerate(seeds)]
        arguments = {"target_class": target_class, "precision": "fp32"}
        return SimpleNamespace(images=images, classes=names, arguments=arguments)


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Checkpoints that are not looked for: `extractor` is a saved tiny backbone, `fake` and `cut` are made here."""
    tiny_oeft().save_pretrained(tmp_path / "extractor")
    pipes = {"fake": FakeClasses(), "cut": tiny_cut()}
    load = call.load
    monkeypatch.setattr(call, "load", lambda name, device: pipes[name] if name in pipes else load(name, device))
    return pipes["fake"]


@pytest.fixture
def classes(tmp_path):
    data = tmp_path / "data"
    for start, name in enumerate((*CLASSES, "unknown")):
        (data / name).mkdir(parents=True)
        for number in range(6):
            picture(24, 20, start * 10 + number).save(data / name / f"{number}.png")
    files = find_labeled_images([data])
    held_out = [file for file in files if file.path.stem in "012"]
    write_split(tmp_path / "split.json", [file for file in files if file not in held_out], held_out, seed=0)
    return data


def evaluate(tmp_path, *words):
    options = ["--extractor", tmp_path / "extractor", "--size", 16, "--output", tmp_path / "out" / "results.jsonl"]
    return main([str(word) for word in ("evaluate", *words, *options)])


def results(tmp_path):
    return [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]


def test_many_classes_beside_the_baselines(fake, classes, tmp_path, capsys):
    words = ["fake", "--data", classes, "--split", tmp_path / "split.json", "--metrics", "mfid", "kid"]
    assert evaluate(tmp_path, *words) == 0
    said = capsys.readouterr()
    assert "1 classes have no place in fake or fewer than 2 held-out pictures: ['unknown']" in said.err
    lines = results(tmp_path)
    assert [(line["system"], line["metric"]) for line in lines] == [
        (system, metric) for system in ("input", "nearest-training-image", "fake") for metric in ("mfid", "kid")
    ]
    for line in lines:
        assert line["counts"]["real"] == 9
        assert line["counts"]["generated"] == 18  # each of 9 inputs into the two other classes
        assert line["interval"][0] < line["value"] < line["interval"][1]
        assert "below 1,000" in line["warning"]
        assert line["extractor"]["sha256"]["backbone/diffusion_pytorch_model.safetensors"]
        assert (line["extractor"]["tap"], line["extractor"]["resize"]) == ("relu2_1", "clean")
        assert line["versions"]["torchvision"]
        assert line["seed"] == 0
        assert "cannot be compared" in line["protocol"]
        assert f"{line['system']}" in said.out
    mfid, last = lines[-2:]
    assert mfid["counts"]["per_class"] == {name: [3, 6] for name in CLASSES}
    assert mfid["value"] == pytest.approx(sum(mfid["per_class"].values()) / 3)
    assert last["checkpoint"] == {"pipeline": "FakeClasses", **FakeClasses.source_record}
    assert last["details"] == {"arguments": {"precision": "fp32"}, "device": "cpu"}
    assert lines[0]["checkpoint"] is None
    for image, target_class, draws, _ in fake.asked:
        assert draws == 1
        assert image.split("/")[-1] in ("0.png", "1.png", "2.png")
        assert sorted([*target_class, image.split("/")[-2]]) == list(CLASSES)
    assert len({seed for *_, seed in fake.asked}) == 9


def test_nothing_is_measured_twice(fake, classes, tmp_path, capsys):
    words = ["fake", "--data", classes, "--metrics", "kid"]
    assert evaluate(tmp_path, *words) == 0
    first, asked = results(tmp_path), len(fake.asked)
    assert [line["system"] for line in first] == ["input", "fake"]  # no split: nobody knows the training pictures
    said = capsys.readouterr().out
    assert evaluate(tmp_path, *words) == 0
    assert capsys.readouterr().out == said
    assert results(tmp_path) == first
    assert len(fake.asked) == asked
    assert evaluate(tmp_path, *words, "mkid") == 0
    assert [line["metric"] for line in results(tmp_path)] == ["kid", "kid", "mkid", "mkid"]
    assert evaluate(tmp_path, *words, "--seed", 1) == 0
    assert len(results(tmp_path)) == 6
    assert results(tmp_path)[-1]["value"] != first[-1]["value"]


def test_an_interrupted_run_goes_on(fake, classes, tmp_path, monkeypatch):
    def press(self):
        raise KeyboardInterrupt

    words = ["fake", "--data", classes, "--metrics", "fid"]
    with monkeypatch.context() as patch:
        patch.setattr(evaluated_classes.ClassSets, "_translated", press)
        assert evaluate(tmp_path, *words) == 130
    first = results(tmp_path)
    assert [line["system"] for line in first] == ["input"]
    assert evaluate(tmp_path, *words) == 0
    assert results(tmp_path)[0] == first[0]
    assert [line["system"] for line in results(tmp_path)] == ["input", "fake"]


def test_classes_that_are_left_out(fake, classes, tmp_path):
    assert evaluate(tmp_path, "fake", "--data", classes, "--metrics", "mkid", "--exclude", "a*", "unkn*") == 0
    assert "ant" in CLASSES
    assert {name for line in results(tmp_path) for name in line["counts"]["per_class"]} == set(CLASSES) - {"ant"}
    assert {image.split("/")[-2] for image, *_ in fake.asked} == set(CLASSES) - {"ant"}


def test_as_many_of_every_class_as_asked_for(fake, classes, tmp_path):
    words = ["fake", "--data", classes, "--metrics", "mkid", "--num-images", 3, "--per-class"]
    assert evaluate(tmp_path, *words, 5) == 0
    assert [line["counts"]["per_class"]["ant"][1] for line in results(tmp_path)] == [2, 5]
    assert {draws for *_, draws, _ in fake.asked} == {2, 3}
    assert evaluate(tmp_path, *words, 2) == 0
    assert results(tmp_path)[-1]["counts"]["per_class"] == {name: [6, 2] for name in CLASSES}


def test_unpaired(fake, tmp_path):
    data = tmp_path / "data"
    for number, side in enumerate(("testA", "testB", "trainB")):
        (data / side).mkdir(parents=True)
        for index in range(4):
            picture(24 + index, 20, number * 10 + index).save(data / side / f"{index}.png")
    words = ["cut", "--data", data, "--metrics", "fid", "kid", "--num-images", 3]
    assert evaluate(tmp_path, *words) == 0
    lines = results(tmp_path)
    assert [line["system"] for line in lines[::2]] == ["input", "nearest-training-image", "cut"]
    assert all(line["counts"] == {"real": 4, "generated": 3} for line in lines)
    assert lines[-1]["details"]["arguments"]["precision"]
    assert len({line["value"] for line in lines[::2]}) == 3
    (data / "testB").rename(data / "other")
    assert evaluate(tmp_path, *words) == 1


def test_two_folders(fake, classes, tmp_path, capsys):
    other = tmp_path / "generated"
    for name in (*CLASSES, "unknown"):
        (other / name).mkdir(parents=True)
        for number in range(2):
            picture(30, 30, number).save(other / name / f"{number}.png")
    assert evaluate(tmp_path, "--generated", other, "--data", classes, "--metrics", "mfid", "fid") == 0
    assert evaluate(tmp_path, "--generated", other / "ant", "--data", classes / "ant", "--metrics", "kid") == 0
    lines = results(tmp_path)
    assert lines[0]["counts"]["per_class"]["unknown"] == [6, 2]
    assert [line["counts"]["generated"] for line in lines] == [8, 8, 2]
    (other / "cat").rename(other / "lion")
    assert evaluate(tmp_path, "--generated", other, "--data", classes, "--metrics", "mfid") == 1
    assert "only one side has pictures of 'cat'" in capsys.readouterr().err


def test_pairs_of_two_folders(fake, classes, tmp_path, capsys):
    other = tmp_path / "generated"
    other.mkdir()
    for number in range(5):
        picture(30, 24, number).save(other / f"{number}.jpg")
    words = ["--generated", other, "--data", classes / "ant", "--metrics", "lpips", "sifid", "fid"]
    assert evaluate(tmp_path, *words) == 0
    lpips, sifid, fid = results(tmp_path)
    assert lpips["counts"] == sifid["counts"] == {"pairs": 5}
    assert fid["counts"] == {"real": 6, "generated": 5}
    assert lpips["extractor"]["taps"] == ["relu1_1", "relu2_1"]
    assert sifid["extractor"]["taps"] == ["relu1_1"]
    assert "taps" not in fid["extractor"]
    assert lpips["interval"][0] < lpips["value"] < lpips["interval"][1]
    assert "As few as 5 pairs" in lpips["warning"]
    assert "each compared with the real picture of the same name" in lpips["protocol"]
    assert not lpips["published"]["comparable"]
    (other / "2.jpg").rename(other / "two.jpg")
    assert evaluate(tmp_path, *words) == 1
    assert "1 generated pictures have no real one of the same name" in capsys.readouterr().err
    words = ["--generated", classes / "ant", "--data", classes / "ant", "--metrics", "sifid", "lpips"]
    assert evaluate(tmp_path, *words) == 0
    assert [line["value"] for line in results(tmp_path)[-2:]] == pytest.approx([0, 0], abs=1e-6)


def test_translations_are_compared_with_their_inputs(fake, classes, tmp_path):
    assert evaluate(tmp_path, "fake", "--data", classes, "--metrics", "lpips", "--num-images", 4) == 0
    (line,) = results(tmp_path)  # nothing to compare the baselines with
    assert (line["system"], line["counts"]) == ("fake", {"pairs": 8})
    assert line["value"] > 0
    assert line["details"]["arguments"] == {"precision": "fp32"}
    assert "each compared with its input" in line["protocol"]


def test_classifiers_of_real_and_of_generated_pictures(fake, classes, tmp_path):
    assert evaluate(tmp_path, "fake", "--data", classes, "--metrics", "rc", "fc", "--resolution", 16) == 0
    for line in results(tmp_path):
        assert set(line["per_class"]) == set(CLASSES)
        assert line["value"] == pytest.approx(sum(line["per_class"].values()) / 3)
        assert "over classes, with the same classifier" in line["warning"]
    assert results(tmp_path)[0]["system"] == "input"
    assert results(tmp_path)[0]["value"] < 0.1  # pictures of other classes, that the classifier was trained on


def test_features_are_kept_and_found_again(fake, classes, tmp_path, monkeypatch):
    words = ["fake", "--data", classes, "--work", tmp_path / "work", "--metrics"]

    class_call = FakeClasses.__call__

    @wraps(class_call)
    def break_off(self, *given, **options):
        if len(self.asked) == 10:
            raise KeyboardInterrupt
        return class_call(self, *given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(FakeClasses, "__call__", break_off)
        assert evaluate(tmp_path, *words, "kid") == 130
    first = len(fake.asked)
    assert evaluate(tmp_path, *words, "kid") == 0
    assert len(fake.asked) - first == 18 - 8  # two chunks of four inputs were whole
    asked = len(fake.asked)
    assert evaluate(tmp_path, *words, "mkid") == 0
    assert len(fake.asked) == asked
    kept = results(tmp_path)
    assert kept[-1]["details"]["arguments"] == {"precision": "fp32"}
    (tmp_path / "out" / "results.jsonl").unlink()
    assert evaluate(tmp_path, "fake", "--data", classes, "--metrics", "kid", "mkid") == 0
    fresh = {(line["system"], line["metric"]): line["value"] for line in results(tmp_path)}
    assert {(line["system"], line["metric"]): line["value"] for line in kept} == fresh


def test_the_same_pictures_have_no_distance(fake, classes, tmp_path):
    assert evaluate(tmp_path, "--generated", classes, "--data", classes, "--metrics", "mfid", "--resolution", 12) == 0
    assert results(tmp_path)[0]["value"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--metrics", "fid"], "either a CHECKPOINT or --generated"),
        (["fake", "--generated", "x", "--metrics", "fid"], "either a CHECKPOINT or --generated"),
        (["--generated", "x", "--seed", 1, "--per-class", 3, "--metrics", "fid"], "--per-class is for checkpoints"),
        (["cut", "--metrics", "mfid", "fid"], "--metrics mfid: cut has no classes"),
        (["cut", "--metrics", "fid", "--per-class", 3], "are for many classes; cut has none"),
        (["cut", "--metrics", "sifid"], "--metrics sifid compares pairs of pictures"),
        (["cut", "--metrics", "pixels", "--labels", 1], "--metrics pixels: needs --segmenter"),
        (["cut", "--metrics", "pixels", "--segmenter", "x"], "pixels and --labels need each other"),
        (["cut", "--metrics", "segmentation", "--segmenter", "x"], "segmentation stands alone, with --generated"),
        (["fake", "--metrics", "fid", "--batch-size", 0], "--batch-size is 0; it must be at least 1"),
        (["oeft-starter", "--metrics", "fid"], "OEFTPipeline takes an exemplar"),
        (["fake", "--metrics", "fid", "--extractor", "cut"], "--extractor cut has no backbone"),
    ],
)
def test_wrong_usage(fake, tmp_path, capsys, words, sentence):
    given = ["--output", tmp_path / "r.jsonl", "--data", tmp_path]
    if "--extractor" not in words:
        given += ["--extractor", tmp_path / "extractor"]
    assert main([str(word) for word in ("evaluate", *words, *given)]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "r.jsonl").exists()


def test_data_that_cannot_be_used(fake, classes, tmp_path, capsys):
    assert evaluate(tmp_path, "fake", "--data", tmp_path / "nowhere", "--metrics", "fid") == 1
    assert "nowhere is not a folder" in capsys.readouterr().err
    assert evaluate(tmp_path, "fake", "--data", classes, "--metrics", "fid", "--num-images", 1) == 1
    assert "the 1 inputs are of one class; those of two are needed" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ("012", "class 'bee': not one of its held-out pictures can be read; --exclude leaves it out"),
        ("345", "class 'bee': there is no training picture that can be read"),
    ],
)
def test_a_class_of_broken_pictures_is_named(fake, classes, tmp_path, capsys, broken, sentence):
    for stem in broken:
        (classes / "bee" / f"{stem}.png").write_bytes(b"x")
    words = ["fake", "--data", classes, "--split", tmp_path / "split.json", "--metrics", "mkid"]
    assert evaluate(tmp_path, *words) == 1
    assert sentence in capsys.readouterr().err


def test_a_result_says_that_inputs_are_shared(fake, classes, tmp_path):
    assert evaluate(tmp_path, "fake", "--data", classes, "--metrics", "fid", "mfid") == 0
    for line in results(tmp_path):
        assert "An input stands in the sets of all classes but its own" in line["protocol"]
        assert "intervals take pictures and classes as independent" in line["protocol"]


def test_the_command_offers_every_metric():
    assert set(evaluate_command.METRICS) == {*evaluation.METRICS, *evaluation.OF_PICTURES}
    assert evaluate_command.PER_CLASS == evaluation.PER_CLASS
    assert set(evaluation.WHAT) == set(evaluate_command.METRICS)
