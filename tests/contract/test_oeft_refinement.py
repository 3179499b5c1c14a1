"""What OEFTPipeline promises about refinement and inversion."""

import hashlib
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines import OEFTPipeline
from pipelines.base import DivergedError
from pipelines.images.formats import read_image
from pipelines.oeft import refinement
from pipelines.oeft.distance import StructureDistance
from pipelines.oeft.domain import DomainStatistics
from pipelines.oeft.inversion import Inversion
from pipelines.oeft.inversion_settings import InversionSettings
from tests.tiny import TINY_REFINING, TINY_SETTINGS, picture, seeded, tiny_oeft, tiny_refining_oeft

PARTS = ("backbone", "prior", "domain")


@pytest.fixture(scope="module")
def pipe():
    return tiny_refining_oeft()


def call(pipe, image=None, exemplar=None, seed=0, **kwargs):
    image = picture() if image is None else image
    exemplar = picture(36, 36, seed=1) if exemplar is None else exemplar
    return pipe(image, exemplar, settings=TINY_SETTINGS, **{"generator": seeded(seed), **kwargs})


def fingerprint(pipe) -> str:
    digest = hashlib.sha256()
    for part in PARTS:
        network = getattr(pipe, part)
        for name, tensor in network.state_dict().items():
            digest.update(name.encode() + tensor.numpy().tobytes())
        digest.update(repr([(n, p.requires_grad, p.grad) for n, p in network.named_parameters()]).encode())
        digest.update(str(network.training).encode())
    return digest.hexdigest()


def left_of(height, width):
    mask = torch.zeros(height, width)
    mask[:, : width // 2] = 1
    return mask


def test_a_checkpoint_with_a_prior_refines_and_shows_every_hypothesis(pipe):
    output = call(pipe)
    assert output.images[0].size == output.warped[0].size == (40, 30)
    assert [(each.layer, each.num_codes) for each in output.hypotheses[0]] == [(2, 3), (4, 2), (4, 4)]
    losses = [each.loss for each in output.hypotheses[0]]
    assert output.chosen == [losses.index(min(losses))]
    assert np.array_equal(output.images[0], output.hypotheses[0][output.chosen[0]].image)
    assert not np.array_equal(output.images[0], output.warped[0])


def test_the_warp_is_compared_at_the_size_that_the_settings_have(pipe, monkeypatch):
    targets = []
    real = refinement.InversionDistance.__init__
    monkeypatch.setattr(
        refinement.InversionDistance,
        "__init__",
        lambda self, backbone, target, *args, **kwargs: (
            targets.append(target) or real(self, backbone, target, *args, **kwargs)
        ),
    )
    warp = call(pipe, refine_settings={"compare_size": 4}, output_type="pt").warped
    call(pipe, refine_settings={"compare_size": 100})
    assert [tuple(each.shape[2:]) for each in targets] == [(4, 4), (30, 32)]
    expected = torch.nn.functional.interpolate(2 * warp - 1, (4, 4), mode="area")
    torch.testing.assert_close(targets[0], expected, rtol=0, atol=1e-5)


def test_pictures_too_small_for_the_perceptual_distance_are_refused(pipe):
    settings = {**TINY_REFINING, "compare_size": 1, "perceptual_tap": "relu2_1"}
    with pytest.raises(ValueError, match=r"`lambda_perceptual` compares pictures of 1 .*`compare_size`.* needs 2"):
        call(pipe, refine_settings=settings)
    for change in ({"lambda_perceptual": 0}, {"perceptual_size": 16}, {"compare_size": 2}):
        assert call(pipe, refine_settings={**settings, **change}).hypotheses


def test_the_structure_of_the_source_counts_where_it_has_a_weight(pipe):
    single = {"hypotheses": [[2, 3]], "compare_size": 4, "num_steps": 40}
    distance = StructureDistance(
        pipe.backbone, read_image(picture()).pixels[None], tap=pipe.backbone.taps[0], precision=torch.float32
    )

    def structure(weight):
        output = call(pipe, refine_settings={**single, "lambda_structure": weight}, output_type="pt")
        return distance(2 * output.images - 1).item()

    assert structure(3.0) < structure(0.0)


def test_without_refinement_the_result_is_the_warp_of_a_checkpoint_without_a_prior(pipe):
    output, plain = call(pipe, refine=False), call(tiny_oeft())
    assert np.array_equal(output.images[0], plain.images[0])
    assert output.hypotheses == [()]
    assert output.chosen == [None]


def test_a_small_source_gets_a_result_as_large_as_the_priors_pictures(pipe):
    output = call(pipe, picture(16, 12))
    assert output.images[0].size == (32, 24)
    assert output.warped[0].size == (16, 12)
    output.correspondence(31, 23)  # pixels of the result


def test_the_distance_to_the_domain_decides_when_asked_to(pipe):
    output = call(pipe, refine_settings={"decide": "frechet"})
    scores = [each.score for each in output.hypotheses[0]]
    assert output.chosen == [scores.index(min(scores))]


def test_a_hypothesis_that_is_named_is_taken_whatever_its_distance(pipe):
    strict = DomainStatistics.from_config({**pipe.domain.config, "reach": 0.0})
    strict.load_state_dict(pipe.domain.state_dict())
    pipe = OEFTPipeline(pipe.backbone, pipe.prior, strict, refine_settings=pipe.config["refine_settings"])
    every = call(pipe).hypotheses[0]
    for index, hypothesis in enumerate(every):
        output = call(pipe, refine_settings={"decide": index})
        assert output.chosen == [index]
        assert np.array_equal(output.images[0], hypothesis.image)
    with pytest.raises(ValueError, match="`decide` is 3; accepted are frechet, loss, and 0 to 2 for a hypothesis"):
        call(pipe, refine_settings={"decide": 3})
    with pytest.raises(ValueError, match="`decide` is 1; this generator has 1 of the hypotheses"):
        call(pipe, refine_settings={"hypotheses": [[4, 2], [14, 2]], "decide": 1})


def test_a_picture_from_elsewhere_is_said_so_and_the_result_is_the_warp(pipe):
    strict = DomainStatistics.from_config({**pipe.domain.config, "reach": 0.0})
    strict.load_state_dict(pipe.domain.state_dict())
    output = call(OEFTPipeline(pipe.backbone, pipe.prior, strict, refine_settings=pipe.config["refine_settings"]))
    assert output.chosen == [None]
    assert np.array_equal(output.images[0], output.warped[0])
    assert len(output.hypotheses[0]) == 3
    assert "the result is the warp" in output.notes[0][-1]


def test_without_statistics_the_lowest_loss_decides(pipe):
    output = call(OEFTPipeline(pipe.backbone, pipe.prior, refine_settings=pipe.config["refine_settings"]))
    assert [each.score for each in output.hypotheses[0]] == [None] * 3
    losses = [each.loss for each in output.hypotheses[0]]
    assert output.chosen == [losses.index(min(losses))]


def test_same_seed_same_pixels(pipe):
    first, again, other = (call(pipe, seed=seed, output_type="pt").images for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_batch_gives_what_its_pairs_give_alone(pipe):
    images = [picture(seed=2), picture(seed=3)]
    both = call(pipe, images, generator=[seeded(1), seeded(2)], output_type="pt")
    assert both.images.shape == (2, 3, 30, 40)
    assert len(both.hypotheses) == len(both.chosen) == 2
    for index, seed in enumerate((1, 2)):
        alone = call(pipe, images[index], seed=seed, output_type="pt")
        assert torch.equal(both.images[index], alone.images[0])


def test_the_callback_sees_both_stages(pipe):
    seen = []

    def look(_, step, num_steps, tensors):
        seen.append((step, num_steps, sorted(tensors)))

    call(pipe, callback_on_step_end=look)
    assert [entry[:2] for entry in seen] == [(step, 7) for step in range(7)]
    assert [entry[2] for entry in seen] == [["loss", "warped"]] * 3 + [["loss", "refined", "warped"]] * 4


def test_stop_keeps_the_best_so_far(pipe):
    output = call(pipe, callback_on_step_end=lambda _, step, *__: {"stop": step == 4})
    assert output.chosen[0] is not None
    assert np.array_equal(output.images[0], call(pipe, num_refine_steps=2).images[0])
    early = call(pipe, callback_on_step_end=lambda _, step, *__: {"stop": step == 1})
    assert early.chosen == [None]
    assert np.array_equal(early.images[0], early.warped[0])


def test_a_call_leaves_the_components_as_they_were(pipe, monkeypatch):
    before = fingerprint(pipe)
    call(pipe)
    pipe.invert(picture(), settings=TINY_REFINING, generator=seeded())
    call(pipe, callback_on_step_end=lambda _, step, *__: {"stop": step == 4})

    def fail(_, step, *__):
        if step == 4:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        call(pipe, callback_on_step_end=fail)
    monkeypatch.setattr(Inversion, "step", lambda self: (_ for _ in ()).throw(DivergedError("no")))
    with pytest.raises(DivergedError):
        call(pipe)
    assert fingerprint(pipe) == before


def test_two_calls_in_two_threads_do_not_disturb_each_other(pipe):
    alone = [call(pipe, seed=seed, output_type="pt").images for seed in (1, 2)]
    results = {}
    threads = [
        threading.Thread(target=lambda s=seed: results.update({s: call(pipe, seed=s, output_type="pt").images}))
        for seed in (1, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(results[seed], alone[seed - 1]) for seed in (1, 2))


def test_saved_and_loaded_it_gives_the_same_pixels(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    loaded = OEFTPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    assert loaded.domain.config["origin"] == "samples of the prior"
    assert torch.equal(call(loaded, output_type="pt").images, call(pipe, output_type="pt").images)


def test_a_checkpoint_without_a_prior_says_what_is_missing():
    pipe = tiny_oeft()
    for arguments in ({"refine": True}, {"num_refine_steps": 3}, {"refine_settings": {}}):
        with pytest.raises(ValueError, match="This checkpoint has no prior, which refinement and `invert` need"):
            call(pipe, **arguments)
    with pytest.raises(ValueError, match="This checkpoint has no prior, which refinement and `invert` need"):
        pipe.invert(picture(), settings=TINY_REFINING)


def test_settings_by_name_by_preset_and_all_at_once(pipe):
    single = {"hypotheses": [[4, 2]], "num_steps": 2, "num_draws": 8}
    by_name = call(pipe, refine_settings=single, output_type="pt")
    at_once = call(pipe, refine_settings=InversionSettings(**single), num_refine_steps=2, output_type="pt")
    assert [(each.layer, each.num_codes) for each in by_name.hypotheses[0]] == [(4, 2)]
    assert torch.equal(by_name.images, at_once.images)
    paper = call(pipe, refine_settings="paper", num_refine_steps=1)
    assert len(paper.hypotheses[0]) == 12  # this prior has no odd layers
    with pytest.raises(ValueError, match="'speed' is no setting of inversion"):
        call(pipe, refine_settings={"speed": 1})


def test_inversion_alone_returns_a_picture_of_the_prior(pipe):
    output = pipe.invert([picture(), picture(16, 12)], settings=TINY_REFINING, generator=seeded())
    assert [image.size for image in output.images] == [(40, 30), (32, 24)]
    assert len(output.hypotheses[1]) == 3


def test_a_stopped_inversion_keeps_the_best_so_far_and_steps_the_other_images_once(pipe):
    seen = []

    def stop(_, step, num_steps, tensors):
        seen.append((step, num_steps, sorted(tensors)))
        return {"stop": step == 1}

    output = pipe.invert(
        [picture(), picture(seed=1)], settings=TINY_REFINING, generator=seeded(), callback_on_step_end=stop
    )
    assert seen == [(0, 8, ["loss", "refined"]), (1, 8, ["loss", "refined"])]
    two_steps = pipe.invert(picture(), num_steps=2, settings=TINY_REFINING, generator=seeded())
    assert np.array_equal(output.images[0], two_steps.images[0])
    assert output.chosen[1] is not None


def test_colorization_keeps_the_luma(pipe):
    gray = picture().convert("L")
    result = pipe.invert(gray, "colorization", settings=TINY_REFINING, generator=seeded()).images[0]
    assert np.abs(np.asarray(result.convert("L"), dtype=int) - np.asarray(gray, dtype=int)).mean() < 3
    red, _, blue = np.asarray(result, dtype=int).transpose(2, 0, 1)
    assert np.abs(red - blue).max() > 5


def test_inpainting_keeps_what_is_known_and_never_looks_at_what_is_missing(pipe):
    image, mask = picture(), left_of(30, 40)
    painted = Image.fromarray(np.where(np.asarray(mask)[..., None] > 0, 255, np.asarray(image)).astype(np.uint8))
    first, other = (
        pipe.invert(each, "inpainting", mask=mask, settings=TINY_REFINING, generator=seeded()).images[0]
        for each in (image, painted)
    )
    assert np.array_equal(np.asarray(first)[:, 20:], np.asarray(image)[:, 20:])
    assert not np.array_equal(np.asarray(first)[:, :20], np.asarray(image)[:, :20])
    assert np.array_equal(first, other)


def test_a_mask_may_be_a_file_a_picture_or_an_array(pipe, tmp_path):
    mask = left_of(30, 40)
    shown = Image.fromarray((mask.numpy() * 255).astype(np.uint8))
    shown.save(tmp_path / "mask.png")
    results = [
        pipe.invert(
            picture(), "inpainting", mask=each, settings=TINY_REFINING, generator=seeded(), num_steps=1
        ).images[0]
        for each in (mask, mask.bool().numpy(), shown, tmp_path / "mask.png", str(tmp_path / "mask.png"))
    ]
    assert all(np.array_equal(results[0], result) for result in results[1:])


def test_super_resolution_compares_small_pictures(pipe):
    image = picture(8, 8)
    output = pipe.invert(
        image, "super-resolution", factor=4, settings=TINY_REFINING, generator=seeded(), num_steps=30, output_type="pt"
    )
    assert output.images.shape == (1, 3, 32, 32)
    small = torch.nn.functional.interpolate(output.images, (8, 8), mode="area")
    given = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1) / 255
    assert (small - given).square().mean() < (given.mean() - given).square().mean()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"degradation": "blur"}, "`degradation` is 'blur'; accepted are none, super-resolution"),
        ({"degradation": "inpainting"}, "`mask` is missing"),
        ({"mask": left_of(30, 40)}, "`mask` is given, and `degradation` is 'none'"),
        ({"degradation": "inpainting", "mask": left_of(30, 30)}, "`mask` is 30 x 30; it must have the image.s size"),
        ({"degradation": "inpainting", "mask": torch.zeros(30, 40)}, "`mask` is white nowhere"),
        ({"degradation": "inpainting", "mask": torch.ones(30, 40)}, "`mask` is white everywhere"),
        ({"factor": 4}, "`factor` is given, and `degradation` is 'none'"),
        ({"degradation": "super-resolution", "factor": 32}, "`factor` is 32; it must be 2 to 8"),
    ],
)  # fmt: skip
def test_bad_arguments_of_inversion_are_named(pipe, arguments, message):
    with pytest.raises(ValueError, match=message):
        pipe.invert(picture(), **arguments)
