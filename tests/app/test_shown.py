"""Pictures reach the page as files: see `demo.shown`."""

import os
from pathlib import Path

import gradio as gr
import pytest
from gradio.processing_utils import move_files_to_cache
from PIL import Image

from demo import shown
from demo.devices import usable_checkpoints
from demo.settings import DemoSettings
from demo.shown import PREVIEW_SECONDS, Previews, as_file
from demo.tab_classes import ClassesTab
from demo.tab_exemplar import ExemplarTab
from demo.tab_single import SingleTab
from demo.tab_unpaired import UnpairedTab
from tests.tiny import picture

SHOW = gr.Image, gr.ImageSlider, gr.Gallery


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """Gradio's cache."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_same_picture_is_not_written_again(cache):
    path = as_file(picture())
    assert Image.open(path).size == (40, 30)
    Path(path).write_text("as it was")
    os.utime(path, (0, 0))
    assert as_file(picture()) == path
    assert Path(path).read_text() == "as it was"
    assert os.stat(path).st_mtime > 0  # it is needed still
    assert len(files_in(cache)) == 1


def test_another_picture_is_another_file_and_a_png_keeps_every_pixel(cache):
    assert as_file(picture(seed=1)) != as_file(picture(seed=2))
    assert Image.open(as_file(picture(), png=True)).tobytes() == picture().tobytes()
    jpeg = Path(as_file(picture())).read_bytes()
    assert Path(as_file(jpeg)).read_bytes() == jpeg


def test_a_file_that_gradio_has_deleted_is_written_again(cache):
    path = as_file(picture())
    Path(path).unlink()
    assert as_file(picture()) == path
    assert Path(path).is_file()


@pytest.mark.parametrize("broken", ["write_bytes", "replace"])
def test_a_failure_leaves_no_half_file(cache, monkeypatch, broken):
    def write_half(path, data):
        with open(path, "wb") as file:
            file.write(data[:10])
        raise OSError("the disk is full")

    def fail(*args):
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(*((Path, broken, write_half) if broken == "write_bytes" else (os, broken, fail)))
        with pytest.raises(OSError, match="the disk is full"):
            as_file(picture())
    assert files_in(cache) == []
    assert Image.open(as_file(picture())).size == (40, 30)


def test_gradio_serves_the_file_itself(cache):
    with gr.Blocks():
        image = gr.Image(format="jpeg")
    path = as_file(picture())
    served = move_files_to_cache(image.postprocess(path), image, postprocess=True)
    assert served["path"] == path
    assert image.temp_files == {path}  # so `delete_cache` knows it
    assert len(files_in(cache)) == 1


def test_old_previews_are_removed(cache, monkeypatch):
    now = 0.0
    monkeypatch.setattr(shown.time, "monotonic", lambda: now)
    with gr.Blocks():
        component = gr.Image()
    previews = Previews(component)
    kept = as_file(picture(seed=1))
    paths = []
    for number in range(1, 4):  # 0.6 of the time apart
        paths.append(previews.as_file(picture(seed=number)))
        component.temp_files.add(paths[-1])
        now += 0.6 * PREVIEW_SECONDS
    assert [Path(path).exists() for path in [kept, *paths]] == [True, False, True, True]
    assert component.temp_files == set(paths[1:])
    again = previews.as_file(picture(seed=2))  # shown once more, so it stays longer
    now += 0.6 * PREVIEW_SECONDS
    previews.as_file(picture(seed=4))
    assert [Path(path).exists() for path in (again, paths[2])] == [True, False]


def build(make) -> tuple:
    """A tab alone, with a request of a visitor."""
    with gr.Blocks():
        return make(DemoSettings()), gr.Request(session_hash="me", headers={})


def check(*updates: dict) -> None:
    """All pictures are files that exist, and there are some."""
    paths = []
    for update in updates:
        for component, value in update.items():
            if isinstance(component, SHOW):
                paths += flat(value.constructor_args["value"] if isinstance(value, gr.Gallery) else value)
    assert paths
    assert all(isinstance(path, str) and Path(path).is_file() for path in paths)


def flat(value) -> list:
    """The pictures of a component, without captions."""
    if isinstance(value, list):
        return [each[0] if isinstance(each, tuple) else each for each in value]
    return [] if value is None else list(value) if isinstance(value, tuple) else [value]


@pytest.mark.parametrize("checkpoint", ["oeft-starter", "oeft-refining"])
def test_exemplar_shows_files(app_environment, pictures, checkpoint):
    tab, request = build(ExemplarTab)
    files = str(pictures["source"]), str(pictures["exemplar"])
    *previews, result = tab._run(*files, checkpoint, "fast", 3, 1, True, True, 3, False, request)
    check(*previews)
    check(result)
    check(tab._example(0, request))
    if checkpoint == "oeft-refining":
        check({tab.hypotheses: result[tab.hypotheses]})
        click = gr.SelectData(None, {"index": 0, "value": None})
        check(*tab._overrule(result[tab.choices], result[tab.answered], request, click))
    place = gr.SelectData(None, {"index": (5, 5), "value": None})
    assert all(Path(path).is_file() for path in tab._point(result[tab.answered], place)[:2])


def test_unpaired_shows_files(app_environment, pictures, monkeypatch):
    entries = [entry for entry in usable_checkpoints("unpaired") if entry.id == "cut-one"]
    monkeypatch.setattr("demo.tab_unpaired.usable_checkpoints", lambda task: entries)
    tab, request = build(UnpairedTab)
    photos = [(str(pictures[name]), None) for name in ("source", "exemplar")]
    updates = list(tab._run(photos, "cut-one", "fp32", None, request))
    check(*updates)
    compared = next(update[tab.compared] for update in updates[::-1] if tab.compared in update)
    check({tab.slider: tab._compare(compared, gr.SelectData(None, {"index": 1, "value": None}))})
    check(tab._example(0, request))


def test_single_shows_files(app_environment, pictures):
    tab, request = build(SingleTab)
    files = str(pictures["source"]), str(pictures["exemplar"])
    updates = list(tab._run(*files, 1, 2, 0, "cpu", 1, False, request))
    check(*(update for update in updates if tab.applying not in update))
    check(*updates)


def test_classes_show_files(app_environment, pictures):
    tab, request = build(ClassesTab)
    given = {
        component: component.value
        for component in (*tab._asked, tab.classes)
        if isinstance(component, gr.components.Component)
    }
    given |= {tab.photo: str(pictures["source"]), tab.classes: ["otter", "zebra"]}
    check(*tab._run(given, request))
    check(tab._example(0, request))
    check({tab.thumbnails: tab.offer(tab.models[0])[tab.thumbnails]})
