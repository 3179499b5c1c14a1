"""Parts of the Many-class tab that need no server."""

import json
import pickle
import threading
import zipfile
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import gradio as gr
import pytest
import torch
from PIL import Image
from PIL.ExifTags import Base

from demo.classes_animation import as_html, save_animation
from demo.classes_asked import look_of, names_of
from demo.classes_model import own_model, usable_models
from demo.classes_result import Preview, Results
from demo.classes_run import Animation, Batch, Finished, Job, Look, animate, gpu_seconds, translate
from demo.classes_sheet import contact_sheet
from demo.classes_snippets import animation_snippets, snippets_for
from demo.classes_thumbnails import join, split
from demo.classes_work import ClassesWork
from demo.errors import explain
from demo.own_checkpoint import OwnCheckpoint
from demo.settings import DemoSettings
from demo.streaming import stream
from demo.tab_classes import ClassesTab
from pipelines import DeepI2IPipeline
from pipelines.deepi2i.class_names import UnknownClassError
from pipelines.images.limits import ImageError
from pipelines.images.provenance import read_record
from tests.app.tiny_classes import ANIMALS, FOODS
from tests.tiny import picture


@pytest.fixture
def job(app_environment, pictures, tmp_path):
    return Job("many-animals", str(pictures["source"]), tuple(ANIMALS), 1, Look(seed=3), tmp_path / "stop")


@pytest.fixture
def way(app_environment, pictures, tmp_path):
    return Animation("many-animals", str(pictures["source"]), "pug", "otter", 5, Look(seed=3), tmp_path / "stop")


@pytest.fixture
def animals(app_environment):
    return usable_models_of("Animals")


def usable_models_of(title):
    return next(model for model in usable_models() if model.title == title)


def test_all_that_crosses_to_a_forked_worker_can_be_pickled(job, way):
    events = [pickle.loads(pickle.dumps(event)) for event in translate(pickle.loads(pickle.dumps(job)))]
    assert [type(event) for event in events] == [Batch, Batch, Finished]
    assert [name for event in events[:-1] for name in event.classes] == events[-1].classes == ANIMALS
    assert events[0].seconds_left > events[1].seconds_left == 0
    assert events[1].share == 1
    frames, _ = pickle.loads(pickle.dumps(animate(pickle.loads(pickle.dumps(way)))))
    assert [frame.size for frame in frames] == [(64, 64)] * 5


def test_previews_are_the_results(job):
    *batches, last = translate(job)
    shown = [image.tobytes() for batch in batches for image in batch.images]
    assert shown == [image.tobytes() for image in last.images]
    assert len(set(shown)) > 1


def test_stop_keeps_what_is_there(job):
    run = translate(job)
    first = next(run)
    job.stop_file.touch()
    *_, last = run
    assert isinstance(last, Finished)
    assert last.classes[: len(first.classes)] == first.classes
    assert list(translate(job)) == []


def test_closing_a_run_frees_the_pipeline_for_the_next(job):
    run = translate(job)
    next(run)
    closer = threading.Thread(target=run.close)  # gradio closes it in another thread
    closer.start()
    closer.join()
    assert isinstance(list(translate(job))[-1], Finished)


def test_an_error_of_a_streamed_call_passes_through():
    def call(hand_over):
        hand_over(1)
        raise KeyError("gone")

    items = stream(call)
    assert next(items) == 1
    with pytest.raises(KeyError, match="gone"):
        next(items)


def test_a_closed_stream_tells_the_call():
    heard = []

    def call(hand_over):
        while not heard or not heard[-1]:
            heard.append(hand_over(len(heard)))

    items = stream(call)
    next(items)
    items.close()
    assert heard[-1] is True


def test_every_png_is_repeated_by_its_record(job, animals, pictures, tmp_path):
    job = replace(job, classes=("zebra", "guinea_pig"), draws=2)
    *_, last = translate(job)
    results = Results(last, Image.open(job.file), animals.titles, tmp_path)
    names = [f"my-source-many-animals-seed3-{name}.png" for name in ("zebra-1", "zebra-2", "guinea_pig-1")]
    assert [file.name for file in results.files[:3]] == names
    record = read_record(results.files[3])
    assert record["arguments"]["target_class"] == "guinea_pig"
    pipe = DeepI2IPipeline.from_pretrained("many-animals")
    again = pipe(job.file, **record["arguments"], generator=torch.Generator().manual_seed(record["seed"]))
    assert again.images[-1].tobytes() == Image.open(results.files[3]).tobytes()
    with zipfile.ZipFile(results.archive()) as archive:
        assert archive.namelist() == [file.name for file in results.files]
    assert read_record(results.sheet())["arguments"]["target_class"] == ["zebra", "guinea_pig"]
    assert results.summary().startswith("4 pictures in ")
    assert results.details()["pictures"][2] == {"file": names[2], "class": "guinea_pig"}


def test_classes_that_are_spelled_alike_get_files_of_their_own(job, animals, tmp_path):
    *_, last = translate(replace(job, classes=("pug", "otter")))
    last = replace(last, classes=["red fox", "red/fox"])
    results = Results(last, Image.open(job.file), animals.titles, tmp_path)
    assert len({file.name for file in results.files}) == 2
    assert all(file.parent == tmp_path for file in results.files)


def test_a_stopped_run_says_how_far_it_came(job, animals, tmp_path):
    stop_file = Mock(exists=Mock(side_effect=[False, True]))  # it appears during the first batch
    *_, last = translate(replace(job, stop_file=stop_file))
    results = Results(last, Image.open(job.file), animals.titles, tmp_path)
    assert results.summary().startswith("Stopped: 8 of 12 pictures in ")
    assert read_record(results.sheet())["arguments"]["target_class"] == last.classes


def test_the_contact_sheet_has_titles(job, tmp_path):
    *_, last = translate(replace(job, classes=("mongoose",)))
    photo, folder = Image.open(job.file), tmp_path / "other"
    folder.mkdir()
    titled = Results(last, photo, {"mongoose": "banded mongoose"}, tmp_path).sheet()
    named = Results(last, photo, {"mongoose": "mongoose"}, folder).sheet()
    assert Image.open(titled).tobytes() != Image.open(named).tobytes()
    assert read_record(titled)["arguments"]["target_class"] == ["mongoose"]


def test_preview_begins_with_the_photo(job, animals):
    preview = Preview(Image.open(job.file), animals.titles)
    preview.add(next(translate(job)))
    assert preview.classes[:2] == [None, "pug"]
    assert [caption for _, caption in preview.shown[:4]] == ["Photo", "pug", "guinea pig", "banded mongoose"]
    assert Image.open(preview.shown[1][0]).size == (64, 64)


def test_contact_sheet_has_all_pictures_and_fits_its_captions():
    pictures = [(picture(64, 64, seed), "a name that is much too long for its place") for seed in range(30)]
    sheet = contact_sheet(pictures)
    assert sheet.width > sheet.height
    assert contact_sheet(pictures[:1]).width < 200


def test_animation_plays_and_carries_its_record(way, tmp_path):
    frames, record = animate(way)
    path = save_animation(frames, record, tmp_path)
    with Image.open(path) as saved:
        assert saved.n_frames == 8  # to and fro
        assert json.loads(saved.getexif()[Base.ImageDescription]) == record
    assert record["arguments"]["end_class"] == "otter"
    assert record["inputs"]["image"][0]["name"] == "my source.png"
    assert 'data-frames="5"' in as_html(frames, "From pug to otter")
    assert "<img" not in as_html(frames, "<img src=x>")


def test_ends_of_an_animation_are_the_classes(job, way):
    frames, record = animate(way)
    pipe = DeepI2IPipeline.from_pretrained("many-animals")
    look = {name: record["arguments"][name] for name in ("truncation", "strength", "precision", "batch_size")}
    ends = pipe(way.file, ["pug", "otter"], generator=torch.Generator().manual_seed(3), **look).images
    assert [frames[0].tobytes(), frames[-1].tobytes()] == [end.tobytes() for end in ends]


def test_an_animation_that_is_stopped_underway_is_shorter(way):
    answers = iter([False, True])  # before the first pictures, and behind them
    frames, _ = animate(replace(way, num_frames=20, stop_file=Mock(exists=lambda: next(answers))))
    assert len(frames) == 8


def test_an_animation_that_was_stopped_while_it_waited_does_not_begin(way, monkeypatch):
    begin = Mock()
    monkeypatch.setattr(DeepI2IPipeline, "interpolate", begin)
    way.stop_file.touch()
    assert animate(way) is None
    with pytest.raises(ImageError, match="Stopped before the animation was done"):
        ClassesWork([], 1, Mock()).animate(way, Mock())
    assert not begin.called


def test_thumbnails_come_back_from_their_sheet(tmp_path):
    pictures = [Image.new("RGB", (64, 64), (number * 10, 0, 0)) for number in range(20)]
    join(pictures).save(tmp_path / "classes.png")
    assert [each.getpixel((5, 5)) for each in split(tmp_path / "classes.png", 20)] == [
        each.getpixel((5, 5)) for each in pictures
    ]


def test_checkpoints_are_described_without_loading_them(animals, monkeypatch):
    monkeypatch.setattr(DeepI2IPipeline, "from_pretrained", None)
    foods = usable_models_of("Foods")
    assert animals.class_names == tuple(ANIMALS)
    assert (animals.levels, foods.levels) == ((32, 16, 8, 4), (16, 8, 4))
    assert animals.thumbnails.name == "classes.jpg"
    assert foods.thumbnails is None
    assert (animals.titles["guinea_pig"], animals.titles["mongoose"]) == ("guinea pig", "banded mongoose")


def test_classes_may_be_named_in_every_way_but_wrong(animals):
    asked = ["fox", "0", "guinea_pig", "banded mongoose", "pug"]
    assert names_of(animals, asked, 1) == ("red_fox", "pug", "guinea_pig", "mongoose")
    assert names_of(animals, "all", 1) == tuple(ANIMALS)
    with pytest.raises(UnknownClassError, match="zebra") as caught:
        names_of(animals, ["zebbra"], 1)
    assert "zebra" in explain(caught.value).message
    with pytest.raises(ImageError, match="Choose a class first"):
        names_of(animals, [], 1)
    with pytest.raises(ImageError, match="`num_images_per_class` is 9; 1 to 8 are accepted"):
        names_of(animals, ["pug"], 9)
    names = tuple(f"class {number}" for number in range(555))
    many = replace(animals, class_names=names, class_titles=names)
    with pytest.raises(ImageError, match="These are 2220 pictures, 4 of each class; at most 1200"):
        names_of(many, "all", 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truncation": 1.5}, "`truncation` is 1.5; a number from 0 to 1"),
        ({"strength": [1, 2]}, "`strength` has 2 numbers; there are 4 levels: 32, 16, 8, 4"),
        ({"strength": {"64": 1}}, "`strength` names level 64"),
        ({"precision": "fp8"}, "The precision is 'fp8'"),
        ({"seed": -1}, "The seed is -1"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_runs(animals, change, message):
    asked = {"seed": 0, "truncation": 1, "strength": 1, "precision": "auto", **change}
    with pytest.raises(ImageError, match=message):
        look_of(animals, **asked)


def test_gpu_time_grows_with_the_pictures_and_has_an_end(job):
    few, many, more = (gpu_seconds(replace(job, classes=("a",) * count)) for count in (1, 300, 3000))
    assert few < many < more <= 120


def build(monkeypatch, titles, **settings) -> tuple[gr.Blocks, ClassesTab]:
    """The tab alone, with some of the checkpoints."""
    models = [model for model in usable_models() if model.title in titles]
    monkeypatch.setattr("demo.tab_classes.usable_models", lambda: models)
    with gr.Blocks() as blocks:
        return blocks, ClassesTab(DemoSettings(**settings))


def test_with_no_checkpoint_the_tab_says_so(app_environment, monkeypatch, pictures):
    _, tab = build(monkeypatch, [])
    assert tab.nothing.visible
    assert not tab.checkpoint.visible
    assert tab.classes.choices == []
    with pytest.raises(ImageError, match="No many-class checkpoint is installed here yet"):
        next(tab.endpoints.translate_classes(str(pictures["source"]), ["pug"], None, 1, 0, 1, 1, "auto", gr.Request()))


def test_the_page_offers_what_the_checkpoint_has(app_environment, monkeypatch):
    _, tab = build(monkeypatch, ["Animals", "Foods"])
    assert tab.checkpoint.choices == [("Animals", "many-animals"), ("Foods", "many-foods")]
    assert tab.classes.choices[1:3] == [("guinea pig", "guinea_pig"), ("banded mongoose", "mongoose")]
    assert tab.thumbnails.value[2]["caption"] == "banded mongoose"
    assert tab.thumbnails.visible
    changed = tab._switch("many-foods", None)
    assert changed[tab.classes].choices == [("ramen", "ramen"), ("sushi", "sushi"), ("apple pie", "apple_pie")]
    assert not changed[tab.thumbnails].visible
    assert [changed[slider].visible for slider in tab.strengths] == [False, True, True, True]


def test_clicks_choose_classes(app_environment, monkeypatch):
    _, tab = build(monkeypatch, ["Animals"])

    def click(index):
        return gr.SelectData(None, {"index": index, "value": None})

    assert tab._pick([None, "pug", "otter"], click(2)) == ["otter"]
    assert tab._pick([None, "pug"], click(0)) == gr.skip()
    assert tab._pick(None, click(0)) == gr.skip()
    assert tab._toggle("many-animals", None, ["otter"], click(0)) == ["otter", "pug"]
    assert tab._toggle("many-animals", None, ["otter", "pug"], click(0)) == ["otter"]


def test_own_checkpoint_is_used_under_its_own_name(job, app_environment, tmp_path):
    own = own_model(OwnCheckpoint("someone/many", "0" * 40, app_environment / "many-foods", "DeepI2IPipeline"))
    assert (own.title, own.class_names) == ("Yours: someone/many", tuple(FOODS))
    *_, last = translate(replace(job, checkpoint=own.checkpoint, classes=("sushi",)))
    assert (last.record["checkpoint"], last.record["revision"]) == ("someone/many", "0" * 40)
    assert str(app_environment) not in str(last.record)
    (file,) = Results(last, Image.open(job.file), own.titles, tmp_path).files
    assert file.name == "my-source-many-seed3-sushi.png"


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("own", [None, OwnCheckpoint("someone/many", "0" * 40, Path("x"), "DeepI2IPipeline")])
def test_snippets_are_valid_code(every, own):
    arguments = {
        "target_class": ['la"pug', "otter"],
        "num_images_per_class": 2,
        "truncation": 0.5,
        "strength": {"32": 1.0, "4": 0.5},
        "precision": "bf16",
    }
    between = {**arguments, "start_class": 'la"pug', "end_class": "otter", "num_frames": 8}
    record = {
        "checkpoint": "many-animals",
        "arguments": arguments,
        "inputs": {"image": [{"name": 'a"b.png'}]},
        "seed": 7,
    }
    some = snippets_for(record, own or "many-animals", every, "http://127.0.0.1:7860")
    way = animation_snippets({**record, "arguments": between}, own or "many-animals", "http://127.0.0.1:7860")
    for code in (some.python, some.client, way.python, way.client):
        compile(code, "code", "exec")
    assert ("all_classes" in some.client) == (every and own is None)
    assert ("--target-class all" in some.command) == every
    assert ("interpolate_classes" in way.client) == (own is None)
