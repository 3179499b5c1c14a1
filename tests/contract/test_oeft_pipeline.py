"""What OEFTPipeline promises to those who call it."""

import hashlib
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pipelines import OEFTPipeline
from pipelines.base import DivergedError
from pipelines.images.limits import ImageError
from pipelines.networks.resnet import ResNetBackbone
from pipelines.networks.vgg import VGGBackbone
from pipelines.oeft.fine_tuning import FineTuning
from pipelines.oeft.settings import OEFTSettings
from tests.tiny import TINY_SETTINGS, picture, seeded, tiny_oeft


@pytest.fixture(scope="module")
def pipe():
    return tiny_oeft()


def call(pipe, image=None, exemplar=None, seed=0, **kwargs):
    image = picture() if image is None else image
    exemplar = picture(36, 36, seed=1) if exemplar is None else exemplar
    return pipe(image, exemplar, settings=TINY_SETTINGS, **{"generator": seeded(seed), **kwargs})


def component_hash(pipe) -> str:
    digest = hashlib.sha256()
    for name, tensor in pipe.backbone.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    digest.update(repr([(n, p.requires_grad, p.grad) for n, p in pipe.backbone.named_parameters()]).encode())
    return digest.hexdigest()


def test_the_result_has_the_sources_size(pipe):
    output = call(pipe, picture(41, 27))
    assert output.images[0].size == (41, 27)
    assert output.warped[0].size == (41, 27)


def test_colors_come_from_the_exemplar(pipe):
    exemplar = Image.new("RGB", (36, 36), (200, 40, 90))
    assert np.abs(np.asarray(call(pipe, exemplar=exemplar).images[0]).astype(int) - [200, 40, 90]).max() <= 1


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


def test_a_call_leaves_the_components_as_they_were(pipe):
    before = component_hash(pipe)
    call(pipe)
    assert component_hash(pipe) == before
    call(pipe, callback_on_step_end=lambda *_: {"stop": True})
    assert component_hash(pipe) == before

    def fail(*_):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        call(pipe, callback_on_step_end=fail)
    assert component_hash(pipe) == before


def test_fine_tuning_changes_the_result(pipe):
    plain = call(pipe, num_steps=0, output_type="pt").images
    assert not torch.equal(plain, call(pipe, output_type="pt").images)


def test_one_step_is_one_update(pipe):
    none, one = (call(pipe, num_steps=steps, output_type="pt").images for steps in (0, 1))
    assert not torch.equal(none, one)


def test_stop_returns_the_best_so_far(pipe):
    seen = []

    def stop_after_two(_, step, num_steps, tensors):
        seen.append((step, num_steps, tensors["warped"].shape, float(tensors["loss"])))
        return {"stop": step == 1}

    output = call(pipe, callback_on_step_end=stop_after_two, output_type="pt")
    assert [entry[:3] for entry in seen] == [(0, 3, (1, 3, 28, 36)), (1, 3, (1, 3, 28, 36))]
    assert torch.equal(output.images, call(pipe, num_steps=2, output_type="pt").images)


def test_a_wrong_callback_answer_is_named(pipe):
    with pytest.raises(TypeError, match="callback_on_step_end.*returned a bool"):
        call(pipe, callback_on_step_end=lambda *_: True)


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


def test_a_batch_gives_what_its_pairs_give_alone(pipe):
    images = [picture(40, 30, seed=6), picture(28, 44, seed=7)]
    exemplars = [picture(33, 33, seed=8), picture(48, 30, seed=9)]
    alone = [np.asarray(call(pipe, *pair, seed=5).images[0]) for pair in zip(images, exemplars, strict=True)]
    batch = call(pipe, images, exemplars, generator=[seeded(5), seeded(5)])
    for got, wanted in zip(batch.images, alone, strict=True):
        assert np.array_equal(np.asarray(got), wanted)
    assert len(batch.lookups) == len(batch.notes) == 2


def test_one_exemplar_serves_all_images(pipe):
    assert len(call(pipe, [picture(), picture(seed=2)]).images) == 2


def test_output_types_agree(pipe):
    pil, array, tensor = (call(pipe, output_type=kind).images for kind in ("pil", "np", "pt"))
    assert array.shape == (1, 30, 40, 3)
    assert tensor.shape == (1, 3, 30, 40)
    assert np.abs(array - tensor.permute(0, 2, 3, 1).numpy()).max() < 1e-6
    assert np.abs(np.asarray(pil[0]) / 255 - array[0]).max() <= 1 / 255


def test_images_of_every_form_agree(pipe):
    image, exemplar = picture(), picture(seed=1)
    wanted = call(pipe, image, exemplar, output_type="pt").images
    array = np.asarray(image)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1).float() / 255
    for form in (array, tensor, tensor[None], [image]):
        assert torch.allclose(call(pipe, form, exemplar, output_type="pt").images, wanted, atol=1e-5)


def test_return_dict_false_gives_a_tuple(pipe):
    images, warped, *_ = call(pipe, return_dict=False)
    assert images[0].size == warped[0].size == (40, 30)


def test_correspondence_is_a_row_of_the_matrix(pipe):
    output = call(pipe, num_steps=0)
    lookup = output.lookups[0]
    descriptors = lookup.descriptors
    rows, columns = descriptors.query_grid
    x, y = 21, 13
    place = int(y * rows / 30) * columns + int(x * columns / 40)
    weights = torch.softmax(100 * descriptors.key[0] @ descriptors.query[0, place], dim=0)
    best_row, best_column = divmod(int(weights.argmax()), descriptors.key_grid[1])
    found = output.correspondence(x, y)
    cell = 36 / descriptors.key_grid[1]
    assert abs(found.x - (best_column + 0.5) * cell) <= 2.5 * cell
    assert abs(found.y - (best_row + 0.5) * cell) <= 2.5 * cell
    assert weights.max() <= found.confidence + 1e-6 <= 1 + 1e-5


def test_correspondence_outside_of_the_result_is_refused(pipe):
    output = call(pipe, num_steps=0)
    with pytest.raises(ValueError, match="outside of the result, which is 40 x 30"):
        output.correspondence(40, 3)
    with pytest.raises(IndexError):
        output.correspondence(1, 1, index=1)


def test_an_image_translated_by_itself_corresponds_to_itself(pipe):
    image = picture(48, 48, seed=11)
    output = call(pipe, image, image, num_steps=0)
    for x, y in ((10, 10), (24, 30), (40, 20)):
        found = output.correspondence(x, y)
        assert abs(found.x - x) < 8
        assert abs(found.y - y) < 8


def test_start_steps_one_pair_like_the_call(pipe):
    run = pipe.start(picture(), picture(36, 36, seed=1), settings=TINY_SETTINGS, generator=seeded(0))
    steps = []
    while not run.done:
        steps.append(run.step())
    assert [step.step for step in steps] == [1, 2, 3]
    assert set(steps[0].losses) == {"contrastive", "perceptual", "contextual", "total"}
    assert torch.equal(run.result("pt").images, call(pipe, output_type="pt").images)


def test_settings_by_name_change_the_preset(pipe):
    run = pipe.start(picture(), picture(), preset="fast", num_steps=3, settings={"augment": False, "grid": 8})
    assert run.settings == OEFTSettings.preset("fast", num_steps=3, augment=False, grid=8)


def test_it_works_under_no_grad_and_refuses_inference_mode(pipe):
    with torch.no_grad():
        under_no_grad = call(pipe, output_type="pt").images
    assert torch.equal(under_no_grad, call(pipe, output_type="pt").images)
    with torch.inference_mode(), pytest.raises(RuntimeError, match="inference_mode"):
        call(pipe)
    run = pipe.start(picture(), picture(), settings=TINY_SETTINGS, generator=seeded())
    with torch.inference_mode(), pytest.raises(RuntimeError, match="inference_mode"):
        run.step()


def test_a_callers_autocast_changes_nothing(pipe):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = call(pipe, output_type="pt").images
    assert torch.equal(under_autocast, call(pipe, output_type="pt").images)


def test_a_backbone_in_training_mode_is_copied_in_evaluation_mode():
    backbone = VGGBackbone(blocks=((4,), (8,)), taps=("relu1_1", "relu2_1"), batch_norm=True).train()
    pipe = OEFTPipeline(backbone=backbone)
    before = component_hash(pipe)
    run = pipe.start(picture(), picture(seed=1), settings=TINY_SETTINGS, generator=seeded())
    run.step()
    assert component_hash(pipe) == before
    networks = [module for module in run._fine_tuning._networks.modules() if isinstance(module, nn.BatchNorm2d)]
    assert networks
    assert not any(norm.num_batches_tracked for norm in networks)


def test_a_loss_that_is_not_finite_stops_with_a_sentence(pipe, monkeypatch):
    monkeypatch.setattr("pipelines.oeft.fine_tuning.perceptual_loss", lambda *_: torch.tensor(float("nan")))
    before = component_hash(pipe)
    with pytest.raises(DivergedError, match="no longer finite after 0 steps"):
        call(pipe)
    assert component_hash(pipe) == before


def test_save_and_load_give_the_same_pixels(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "saved")
    loaded = OEFTPipeline.from_pretrained(tmp_path / "saved")
    loaded.set_progress_bar_config(disable=True)
    assert torch.equal(call(loaded, output_type="pt").images, call(pipe, output_type="pt").images)
    assert not list((tmp_path / "saved").rglob("*.bin"))


def test_half_precision_weights_are_optimized_in_fp32(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "saved")
    half = OEFTPipeline.from_pretrained(tmp_path / "saved", dtype=torch.float16)
    half.set_progress_bar_config(disable=True)
    assert torch.isfinite(call(half, output_type="pt").images).all()
    run = half.start(picture(), picture(seed=1), settings=TINY_SETTINGS, generator=seeded())
    assert isinstance(run._fine_tuning, FineTuning)
    assert {p.dtype for p in run._fine_tuning._networks.parameters()} == {torch.float32}


@pytest.mark.parametrize("network", [VGGBackbone, ResNetBackbone])
def test_the_backbones_of_the_paper_run_at_full_width(network):
    pipe = OEFTPipeline(backbone=network())
    settings = OEFTSettings(num_steps=1, size=64, grid=16, render_grid=16)
    run = pipe.start(picture(64, 48), picture(50, 50, seed=1), settings=settings, generator=seeded())
    before = [parameter.clone() for parameter in run._fine_tuning._networks.parameters()]
    run.step()
    changed = [not torch.equal(a, b) for a, b in zip(before, run._fine_tuning._networks.parameters(), strict=True)]
    assert sum(changed) > len(changed) / 2
    assert run.result().images[0].size == (64, 48)


BAD_INPUTS = {
    "not an image": (lambda: "no such file.png", picture, "`image`.*no such file"),
    "another type": (lambda: 3, picture, "`image` is of type int"),
    "1 x 1": (lambda: Image.new("RGB", (1, 1)), picture, "`image`.*1 x 1"),
    "1 x 4000": (picture, lambda: Image.new("RGB", (4000, 1)), "`exemplar`.*4000 x 1"),
    "too narrow": (picture, lambda: Image.new("RGB", (400, 10)), "`exemplar` is 400 x 10 pixels; one side"),
    "NaN": (lambda: torch.full((3, 8, 8), float("nan")), picture, "`image`.*(NaN|finite)"),
    "wrong range": (lambda: torch.full((3, 8, 8), 255.0), picture, "`image`.*255"),
    "mismatched batch": (lambda: [picture()] * 3, lambda: [picture()] * 2, "`image` holds 3 images and `exemplar` 2"),
    "empty list": (list, picture, "`image` is empty"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input_is_named(pipe, case):
    image, exemplar, message = BAD_INPUTS[case]
    with pytest.raises(ImageError, match=message):
        pipe(image(), exemplar(), settings=TINY_SETTINGS)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"preset": "slow"}, "`preset` is 'slow'; accepted are paper, balanced, fast"),
        ({"num_steps": -1}, "`num_steps` is -1"),
        ({"preset": "fast", "settings": TINY_SETTINGS}, "both given"),
        ({"settings": {"agument": False}}, "'agument' is no setting of OEFT"),
        ({"settings": {"taps": ["relu9_9"]}}, "the layer 'relu9_9'; the backbone has relu1_1, relu2_1"),
        ({"generator": [seeded(), seeded()]}, "`generator` holds 2 generators for 1 images"),
        ({"output_type": "jpeg", "settings": TINY_SETTINGS}, "`output_type`"),
    ],
)
def test_bad_arguments_are_named_before_any_work(pipe, kwargs, message):
    def never(*_):
        raise AssertionError("a step was run")

    with pytest.raises(ValueError, match=message):
        pipe(picture(), picture(), callback_on_step_end=never, **kwargs)
