"""What SinCUTPipeline promises to those who call it."""

import hashlib
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines import SinCUTPipeline, load_pipeline
from pipelines.base import DivergedError
from pipelines.images.limits import ImageError
from pipelines.sincut.networks import SinCUTGenerator
from pipelines.sincut.settings import SinCUTSettings
from tests.tiny import picture, seeded
from tests.unit.tiny_sincut import TINY, tiny_settings


def quiet(pipe):
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def pipe():
    return quiet(SinCUTPipeline())


@pytest.fixture(scope="module")
def trained(pipe):
    return quiet(call(pipe).pipeline)


def call(pipe, image=None, exemplar=None, seed=0, **kwargs):
    image = picture() if image is None else image
    exemplar = picture(36, 44, seed=1) if exemplar is None else exemplar
    return pipe(image, exemplar, **{"settings": tiny_settings(), "generator": seeded(seed), **kwargs})


def start(pipe, **kwargs):
    arguments = {"settings": tiny_settings(), "generator": seeded(), **kwargs}
    return pipe.start(picture(), picture(36, 44, seed=1), **arguments)


def component_hash(pipe) -> str:
    digest = hashlib.sha256()
    for name, tensor in pipe.generator.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    digest.update(repr([(n, p.requires_grad, p.grad) for n, p in pipe.generator.named_parameters()]).encode())
    return digest.hexdigest()


@pytest.mark.parametrize("size", [(41, 27), (40, 30), (9, 60), (2, 2)])
def test_the_result_has_the_pictures_size(pipe, size):
    output = call(pipe, picture(*size))
    assert output.images[0].size == size
    assert output.pipeline(picture(*size)).images[0].size == size


def test_same_seed_same_pixels_and_another_seed_others(pipe):
    first, again, other = (call(pipe, seed=seed, output_type="pt").images for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_global_random_state_is_neither_used_nor_changed(pipe):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = call(pipe, output_type="pt").images
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first, call(pipe, output_type="pt").images)


def test_without_a_generator_runs_differ_and_leave_the_global_state(pipe):
    before = torch.get_rng_state()
    first, second = (call(pipe, generator=None, output_type="pt").images for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())


def test_a_call_leaves_the_registered_generator_as_it_was(trained):
    before = component_hash(trained)
    output = call(trained, seed=7)
    assert component_hash(trained) == before
    assert component_hash(output.pipeline) != before
    trained(picture())
    call(trained, callback_on_step_end=lambda *_: {"stop": True})
    assert component_hash(trained) == before

    def fail(*_):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        call(trained, callback_on_step_end=fail)
    assert component_hash(trained) == before


def test_what_was_trained_translates_other_pictures(pipe, trained):
    output = call(pipe)
    assert np.array_equal(np.asarray(output.pipeline(picture()).images[0]), np.asarray(output.images[0]))
    pictures = [picture(41, 27, seed=5), picture(20, 50, seed=6)]
    assert [image.size for image in trained(pictures).images] == [(41, 27), (20, 50)]
    alone = trained(pictures[1]).images[0]
    assert np.array_equal(np.asarray(trained(pictures).images[1]), np.asarray(alone))


def test_save_and_load_give_the_same_pixels(pipe, tmp_path):
    output = call(pipe)
    output.pipeline.save_pretrained(tmp_path / "saved")
    loaded = quiet(SinCUTPipeline.from_pretrained(tmp_path / "saved"))
    assert np.array_equal(np.asarray(loaded(picture()).images[0]), np.asarray(output.images[0]))
    assert not list((tmp_path / "saved").rglob("*.bin"))
    half = quiet(SinCUTPipeline.from_pretrained(tmp_path / "saved", dtype=torch.float16))
    difference = np.asarray(half(picture()).images[0]).astype(int) - np.asarray(output.images[0])
    assert np.abs(difference).max() <= 2
    assert half.generator.dtype == torch.float16


def test_the_bundled_configuration_is_untrained_and_trains(tmp_path):
    pipe = quiet(load_pipeline("sincut"))
    assert isinstance(pipe, SinCUTPipeline)
    assert pipe.generator is None
    assert pipe.config["preset"] == "cpu"
    assert pipe.source_record == {"checkpoint": "sincut", "revision": None, "sha256": {}}
    with pytest.raises(ValueError, match="`exemplar` is missing: this pipeline is untrained"):
        pipe(picture())
    assert call(pipe).images[0].size == (40, 30)
    pipe.save_pretrained(tmp_path / "saved")
    assert SinCUTPipeline.from_pretrained(tmp_path / "saved").generator is None


def test_an_untrained_pipeline_remembers_where_to_train(pipe):
    moved = SinCUTPipeline().to("meta")
    assert moved.device.type == moved._execution_device.type == "meta"
    assert SinCUTPipeline().to(torch.float32).device.type == "cpu"
    assert pipe.device.type in ("cpu", "cuda", "mps")


def test_start_steps_like_the_call(pipe):
    run = start(pipe)
    steps = []
    while not run.done:
        steps.append(run.step())
        assert run.preview().size == (40, 30)  # looking changes nothing
    assert [(step.step, step.num_steps) for step in steps] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert torch.equal(run.result("pt").images, call(pipe, output_type="pt").images)


def test_stop_returns_what_was_learned_so_far_and_can_be_repeated(pipe):
    seen = []

    def stop_after_two(_, step, num_steps, tensors):
        seen.append((step, num_steps, set(tensors) >= {"g", "d_real", "nce"}))
        return {"stop": step == 1}

    output = call(pipe, callback_on_step_end=stop_after_two, output_type="pt")
    assert seen == [(0, 4, True), (1, 4, True)]
    assert output.arguments["settings"]["stop_after"] == 2
    again = pipe(picture(), picture(36, 44, seed=1), **output.arguments, generator=seeded(), output_type="pt")
    assert torch.equal(output.images, again.images)


def test_arguments_are_what_differs_from_the_preset(pipe):
    run = start(pipe, settings={**TINY, "num_steps": 1, "nce_layers": ["input", "down"]}, preset="paper")
    run.step()
    arguments = run.result().arguments
    assert (arguments["preset"], arguments["num_steps"]) == ("paper", 1)
    assert arguments["settings"] == {
        name: value for name, value in {**TINY, "nce_layers": ("input", "down")}.items() if name != "num_steps"
    }


def test_minutes_fix_the_number_of_steps_and_are_recorded_as_steps(pipe, monkeypatch):
    monkeypatch.setattr("pipelines.sincut.run.time.perf_counter", iter(np.arange(0, 10_000, 0.5)).__next__)
    run = start(pipe, settings={**TINY, "num_steps": None}, minutes=0.2)  # two readings of half a second a step
    estimates = []
    while not run.done:
        estimates.append(run.step().num_steps)
    assert run.num_steps == run.steps_done == estimates[-1]
    assert 20 <= run.steps_done <= 30  # 12 seconds
    assert len(set(estimates[10:])) == 1
    output = run.result("pt")
    assert "minutes" not in output.arguments["settings"]
    again = pipe(picture(), picture(36, 44, seed=1), **output.arguments, generator=seeded(), output_type="pt")
    assert torch.equal(output.images, again.images)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_run_that_was_stopped_before_its_length_was_known_can_be_repeated(pipe, steps):
    run = start(pipe, settings={**TINY, "num_steps": None}, minutes=60)
    for _ in range(steps):
        assert run.step().num_steps >= 2
    assert run.num_steps is None
    output = run.result("pt")
    again = pipe(picture(), picture(36, 44, seed=1), **output.arguments, generator=seeded(), output_type="pt")
    assert torch.equal(output.images, again.images)


def test_notes_tell_a_preview_and_a_smaller_network(pipe):
    notes = " ".join(call(pipe).notes[0])
    assert "Trained for 4 steps" in notes
    assert "This is a preview: 5 minutes and more" in notes
    assert "smaller training than the authors': 4 of 80 base channels, 2 of 6 residual blocks, 3 of 16" in notes


def test_threads_do_not_disturb_each_other(pipe):
    pairs = [(picture(seed=2), picture(seed=3)), (picture(32, 48, seed=4), picture(seed=5))]
    alone = [call(pipe, *pair, output_type="pt").images for pair in pairs]
    together = [None, None]
    meet = threading.Barrier(2, timeout=60)  # their steps take turns, whatever the scheduler does

    def work(index):
        def wait(*_):
            meet.wait()

        together[index] = call(pipe, *pairs[index], output_type="pt", callback_on_step_end=wait).images

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for got, wanted in zip(together, alone, strict=True):
        assert torch.allclose(got, wanted, atol=1e-6)


def test_output_types_agree(pipe):
    pil, array, tensor = (call(pipe, output_type=kind).images for kind in ("pil", "np", "pt"))
    assert array.shape == (1, 30, 40, 3)
    assert tensor.shape == (1, 3, 30, 40)
    assert np.abs(array - tensor.permute(0, 2, 3, 1).numpy()).max() < 1e-6
    assert np.abs(np.asarray(pil[0]) / 255 - array[0]).max() <= 1 / 255


def test_return_dict_false_gives_a_tuple(pipe):
    images, notes, trained, arguments = call(pipe, return_dict=False)
    assert images[0].size == (40, 30)
    assert isinstance(trained, SinCUTPipeline)
    assert len(notes) == 1
    assert arguments["num_steps"] == 4


def test_it_works_under_no_grad_and_refuses_inference_mode(pipe, trained):
    with torch.no_grad():
        under_no_grad = call(pipe, output_type="pt").images
    assert torch.equal(under_no_grad, call(pipe, output_type="pt").images)
    with torch.inference_mode(), pytest.raises(RuntimeError, match="inference_mode"):
        call(pipe)
    run = start(pipe)
    with torch.inference_mode(), pytest.raises(RuntimeError, match="inference_mode"):
        run.step()
    with torch.inference_mode():
        assert trained(picture()).images[0].size == (40, 30)


def test_a_callers_autocast_changes_nothing(pipe):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = call(pipe, output_type="pt").images
    assert torch.equal(under_autocast, call(pipe, output_type="pt").images)


def test_a_loss_that_is_not_finite_stops_with_a_sentence(pipe, monkeypatch):
    monkeypatch.setattr("pipelines.sincut.trainer.patch_nce", lambda *_, **__: torch.tensor(float("nan")))
    with pytest.raises(DivergedError, match="no longer finite after 1 steps"):
        call(pipe)


def test_a_wrong_callback_answer_is_named(pipe):
    with pytest.raises(TypeError, match="callback_on_step_end.*returned a bool"):
        call(pipe, callback_on_step_end=lambda *_: True)


def test_stop_ends_a_translation_of_several_pictures(trained):
    output = trained(
        [picture(), picture(), picture()], callback_on_step_end=lambda pipe, step, *_: {"stop": step == 1}
    )
    assert len(output.images) == len(output.notes) == 2


@pytest.mark.parametrize("preset", ["paper", "cpu"])
def test_the_presets_train_at_their_own_width(pipe, preset):
    run = start(pipe, settings={"batch_size": 2}, preset=preset, num_steps=1)
    report = run.step()
    assert np.isfinite(list(report.losses.values())).all()
    assert run.result().images[0].size == (40, 30)


BAD_INPUTS = {
    "not an image": (lambda: "no such file.png", picture, "`image`.*no such file"),
    "another type": (lambda: 3, picture, "`image` is of type int"),
    "1 x 1": (lambda: Image.new("RGB", (1, 1)), picture, "`image`.*1 x 1"),
    "broken exemplar": (picture, lambda: Image.new("RGB", (40, 1)), "`exemplar`.*40 x 1"),
    "NaN": (lambda: torch.full((3, 8, 8), float("nan")), picture, "`image`.*(NaN|finite)"),
    "wrong range": (lambda: torch.full((3, 8, 8), 255.0), picture, "`image`.*255"),
    "two images": (lambda: [picture()] * 2, picture, "`image` holds 2 images; SinCUT trains on one pair"),
    "two exemplars": (picture, lambda: [picture()] * 2, "`exemplar` holds 2 images"),
    "empty list": (list, picture, "`image` is empty"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input_is_named(pipe, case):
    image, exemplar, message = BAD_INPUTS[case]
    with pytest.raises(ImageError, match=message):
        pipe(image(), exemplar(), settings=tiny_settings())


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"preset": "slow"}, "`preset` is 'slow'; accepted are paper, cpu"),
        ({"num_steps": -1}, "`num_steps` is -1"),
        ({"num_steps": 5, "minutes": 5}, "`num_steps` is 5 and `minutes` is 5; one of them"),
        ({"preset": "cpu", "settings": SinCUTSettings()}, "both given"),
        ({"settings": {"corp_size": 64}}, "'corp_size' is no setting of SinCUT"),
        ({"settings": {"nce_layers": ["block9"]}}, "`nce_layers` names 'block9'; the generator has input"),
        ({"output_type": "jpeg", "settings": tiny_settings()}, "`output_type`"),
    ],
)
def test_bad_arguments_are_named_before_any_work(pipe, kwargs, message):
    def never(*_):
        raise AssertionError("a step was run")

    with pytest.raises(ValueError, match=message):
        pipe(picture(), picture(), callback_on_step_end=never, **kwargs)


def test_arguments_of_a_training_need_an_exemplar(trained):
    for name, value in {"num_steps": 5, "preset": "cpu", "settings": {}, "minutes": 5}.items():
        with pytest.raises(ValueError, match=f"`{name}` is given without `exemplar`"):
            trained(picture(), **{name: value})


def test_a_wrong_preset_is_refused_when_the_pipeline_is_made():
    with pytest.raises(ValueError, match="`preset` is 'slow'"):
        SinCUTPipeline(SinCUTGenerator(base_channels=4, num_blocks=2), preset="slow")
