"""Refinement in the Exemplar tab, as far as it needs no server."""

import pickle
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
import torch
from PIL import Image

from demo import exemplar_clock
from demo.devices import usable_checkpoints
from demo.exemplar_choices import Choices
from demo.exemplar_clock import StageClock
from demo.exemplar_priors import refine_steps
from demo.exemplar_result import answered, answered_of, details, notes, progress, summary
from demo.exemplar_run import Finished, Job, Preview, gpu_seconds, translate
from demo.pictures import read_upload
from demo.settings import DemoSettings
from demo.snippets import snippets_for
from demo.tab_exemplar import ExemplarTab
from pipelines import OEFTPipeline
from pipelines.images.formats import ImageError
from pipelines.images.provenance import read_record
from tests.app.tiny_refining import HYPOTHESES


@pytest.fixture
def job(app_environment, pictures, tmp_path):
    files = (str(pictures["source"]), str(pictures["exemplar"]))
    stop_file = tmp_path / "stop"
    return Job("oeft-refining", *files, ("a.png", "b.png"), "fast", 3, True, 1, stop_file, num_refine_steps=6)


@pytest.fixture
def pair(pictures):
    return read_upload(pictures["source"], "source", 40_000), read_upload(pictures["exemplar"], "exemplar", 40_000)


@pytest.fixture
def gallery():
    with gr.Blocks():
        return gr.Gallery()


def end_of(job: Job) -> Finished:
    *_, event = translate(job)
    return event


def stopped_at(job: Job, step: int) -> Finished:
    """The end of a run that is stopped after a step; every step has a preview."""
    run = translate(job)
    for event in run:
        if isinstance(event, Preview) and event.step == step:
            job.stop_file.touch()
    job.stop_file.unlink()
    return event


def again(event: Finished, job: Job, record=None) -> Image.Image:
    """The result as the record repeats it."""
    record = record or event.record
    pipe = OEFTPipeline.from_pretrained(record["checkpoint"])
    generator = torch.Generator().manual_seed(record["seed"])
    return pipe(job.image, job.exemplar, **record["arguments"], generator=generator).images[0]


@pytest.fixture
def every_step(monkeypatch):
    monkeypatch.setattr("demo.exemplar_run.SECONDS_BETWEEN_PREVIEWS", 0)


def test_both_stages_are_shown_and_counted_through(job, every_step):
    events = [pickle.loads(pickle.dumps(event)) for event in translate(pickle.loads(pickle.dumps(job)))]
    *previews, end = events
    assert [(event.stage, event.step) for event in previews] == [
        *(("warp", step) for step in (1, 2, 3)),
        *(("refine", step) for step in range(4, 10)),
    ]
    assert {event.num_steps for event in previews} == {9}
    assert [event.seconds_left > 0 for event in previews] == [True] * 8 + [False]
    assert progress(previews[0]).startswith("Step 1 of 9 (warp) · loss ")
    assert progress(previews[3]).startswith("Step 4 of 9 (refinement) · loss ")
    assert [[each.layer, each.num_codes] for each in end.hypotheses] == HYPOTHESES
    assert end.image.tobytes() == end.hypotheses[end.chosen].image.tobytes()
    assert summary(end).startswith("9 steps in ")
    assert f" · layer {end.hypotheses[end.chosen].layer}, " in summary(end)


def test_record_repeats_the_run(job):
    event = end_of(job)
    assert event.record["arguments"] == {"preset": "fast", "num_steps": 3, "refine": True, "num_refine_steps": 6}
    assert again(event, job).tobytes() == event.image.tobytes()


def test_without_refinement_the_result_is_the_warp(job):
    event = end_of(replace(job, refine=False))
    assert (event.hypotheses, event.chosen, event.steps) == ((), None, 3)
    assert event.record["arguments"]["refine"] is False
    assert again(event, job).tobytes() == event.image.tobytes() == event.warped.tobytes()


def test_a_checkpoint_without_a_prior_takes_no_notice_of_refinement(job, every_step):
    first, *_, event = translate(replace(job, checkpoint="oeft-starter"))
    assert (first.stage, first.num_steps) == (None, 3)
    assert progress(first).startswith("Step 1 of 3 · loss ")
    assert event.hypotheses == ()
    assert event.record["arguments"] == {"preset": "fast", "num_steps": 3}


@pytest.mark.parametrize(("step", "refined"), [(2, False), (3, False), (4, True), (7, True)])
def test_stop_keeps_the_best_so_far_and_its_record_repeats_it(job, every_step, step, refined):
    event = stopped_at(job, step)
    assert (event.stopped, event.steps, bool(event.hypotheses)) == (True, step, refined)
    assert event.record["arguments"]["refine"] is refined
    assert again(event, job).tobytes() == event.image.tobytes()


def test_a_stopped_run_is_repeated_with_hypotheses_given_up_at_the_same_step(job, every_step, monkeypatch):
    """Dropping from the third of six steps on; the run is stopped after four."""
    given_up = {"drop_after": 0.5, "drop_ratio": 1.0001}
    real = OEFTPipeline.start
    monkeypatch.setattr(
        OEFTPipeline, "start", lambda self, *args, **kwargs: real(self, *args, **kwargs, refine_settings=given_up)
    )
    event = stopped_at(job, 7)
    assert [hypothesis.dropped for hypothesis in event.hypotheses].count(True) == 2
    arguments = event.record["arguments"]
    assert 2 < arguments["refine_settings"]["drop_after"] * 4 < 3
    settings = {**given_up, **arguments["refine_settings"]}
    repeated = again(event, job, {**event.record, "arguments": {**arguments, "refine_settings": settings}})
    assert repeated.tobytes() == event.image.tobytes()


def test_gpu_time_includes_refinement(job):
    job = replace(job, num_refine_steps=200)
    assert gpu_seconds(replace(job, refine=False)) < gpu_seconds(job) < gpu_seconds(replace(job, num_refine_steps=500))
    assert gpu_seconds(replace(job, num_refine_steps=10**6)) <= 120


def test_a_choice_by_hand_has_a_record_that_repeats_it(job, pair, gallery, tmp_path):
    event = end_of(job)
    choices = Choices.of(event, pair[0], gallery)
    assert set(choices.files) == gallery.temp_files  # so they are deleted
    assert choices.record_of(event.chosen) == event.record
    for chosen in (None, (event.chosen + 1) % 3):
        expected = event.warped if chosen is None else event.hypotheses[chosen].image
        record = read_record(choices.save(chosen, str(tmp_path)))
        by_hand, automatic = (choices.words(each).removeprefix("the ") for each in (chosen, event.chosen))
        note = record["notes"][-1].lower()
        assert note.startswith(f"chosen by hand: {by_hand}")
        assert f"the checkpoint's own choice: {automatic}, loss" in note
        assert again(event, job, record).tobytes() == expected.tobytes() == choices.picture(chosen).tobytes()
    assert "decide" not in str(event.record)  # the kept record is not changed


def test_the_gallery_says_what_each_picture_is(job, pair, gallery):
    event = end_of(job)
    dropped = replace(event.hypotheses[2], dropped=True, score=None)
    event = replace(event, hypotheses=(*event.hypotheses[:2], dropped), chosen=1)
    choices = Choices.of(event, pair[0], gallery)
    captions = [caption for _, caption in choices.shown(1)]
    assert captions[0] == "Warp"
    first = event.hypotheses[0]
    assert captions[1] == f"Layer 2, 3 codes, loss {first.loss:.3g}, score {first.score:.3g}"
    assert captions[2].startswith("✓ Layer 4, 2 codes, loss ")
    assert captions[3] == f"Layer 6, 2 codes, loss {dropped.loss:.3g}, dropped"
    assert [caption for _, caption in choices.shown(None)][0] == "✓ Warp"


def test_what_cannot_be_chosen_is_explained(job, pair, gallery):
    choices = Choices.of(end_of(job), pair[0], gallery)
    with pytest.raises(ImageError, match="`hypothesis` is 3; 0 to 2 are accepted, and -1 for the warp"):
        choices.picture(3)
    Path(choices.files[1]).unlink()
    with pytest.raises(ImageError, match="no longer kept"):
        choices.picture(0)


def test_a_choice_of_another_size_can_be_asked_where_its_colors_came_from(job, pair, pictures, tmp_path):
    Image.open(pictures["source"]).resize((24, 18)).save(tmp_path / "small.png")
    event = end_of(replace(job, image=str(tmp_path / "small.png")))
    assert event.image.size == (64, 48)  # as large as the GAN's pictures
    last = answered(event, pair)
    warp = answered_of(last, event.warped)
    assert (last.size, warp.size) == ((64, 48), (24, 18))
    one, other = last.lookup.at(40, 20), warp.lookup.at(15, 7.5)
    assert (one.x, one.y) == (other.x, other.y)


def test_a_picture_from_elsewhere_is_said_in_plain_words(job, pair):
    event = end_of(replace(job, checkpoint="oeft-foreign"))
    assert event.chosen is None
    assert event.image.tobytes() == event.warped.tobytes()
    assert "the result is the warp" in notes(event, pair)[-1]
    assert details(event, pair)["chosen"] is None
    assert len(details(event, pair)["hypotheses"]) == 3


def test_which_checkpoints_can_refine_is_known_before_they_are_loaded(app_environment):
    steps = {entry.id: refine_steps(entry) for entry in usable_checkpoints("exemplar")}
    assert steps["oeft-starter"] is None
    assert steps["oeft-refining"] == 6


def test_the_page_offers_refinement_where_the_checkpoint_can(app_environment):
    with gr.Blocks():
        tab = ExemplarTab(DemoSettings())
    assert not tab.refine.visible  # the first checkpoint has no prior
    assert tab.refine.value
    offered = tab.offer("oeft-refining")
    assert offered[tab.refine].visible
    assert offered[tab.num_refine_steps].value == 6
    assert {update["visible"] for update in tab.offer("oeft-starter").values()} == {False}


def test_time_left_knows_both_stages(monkeypatch):
    now = 0.0
    monkeypatch.setattr(exemplar_clock.time, "monotonic", lambda: now)
    monkeypatch.setattr(exemplar_clock, "_REFINING", {})
    for left_at_first in (1 + 2 * 1, 1 + 2 * 5):  # taken to be alike, then as it was seen
        now = 0.0
        clock = StageClock("some", {"warp": 2, "refine": 2})
        now += 1
        clock.tick("warp")
        assert clock.seconds_left() == left_at_first
        now += 1
        clock.tick("warp")
        now += 5
        clock.tick("refine")
        assert clock.seconds_left() == 5
    assert clock.seconds() == 7


@pytest.mark.parametrize(
    ("refining", "python", "command", "client"),
    [
        ({"refine": False}, "refine=False,", "--no-refine", "refine=False,"),
        (
            {"refine": True, "num_refine_steps": 9, "refine_settings": {"decide": 2}},
            "refine=True,\n    num_refine_steps=9,\n    refine_settings={'decide': 2},",
            "--num-refine-steps 9 --set-refine decide=2",
            'hypothesis=2, api_name="/choose_hypothesis"',
        ),
    ],
)
def test_snippets_repeat_refinement(refining, python, command, client):
    inputs = {"image": [{"name": "a.png"}], "exemplar": [{"name": "c.png"}]}
    record = {"checkpoint": "oeft-cats", "seed": 5, "inputs": inputs}
    arguments = {"preset": "fast", "num_steps": 3, **refining}
    snippets = snippets_for({**record, "arguments": arguments}, "out.png", "http://127.0.0.1:7860")
    for code in (snippets.python, snippets.client):
        compile(code, "snippet", "exec")
    assert python in snippets.python
    assert command in snippets.command
    assert client in snippets.client
    assert "refine_settings" not in snippets.client
