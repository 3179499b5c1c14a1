"""Settings, augmentation, rendering and precision of OEFT."""

from dataclasses import replace

import pytest
import torch

from pipelines.images.geometry import resize
from pipelines.oeft.augmentation import geometric, photometric, random_affine
from pipelines.oeft.features import hierarchical_features
from pipelines.oeft.fine_tuning import Descriptors, FineTuning
from pipelines.oeft.rendering import MAX_CELL, render
from pipelines.oeft.settings import PRESETS, OEFTSettings
from tests.tiny import TINY_SETTINGS, seeded, tiny_oeft

STILL = OEFTSettings(rotation=0, scale=0, shear=0, translation=0, color_jitter=0, noise=0)


def image(height=24, width=36, seed=0):
    coarse = torch.rand(1, 3, 4, 5, generator=seeded(seed)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")


def test_the_paper_preset_has_the_papers_values():
    paper = OEFTSettings.preset("paper")
    assert (paper.num_steps, paper.size, paper.augment) == (200, 256, True)
    assert PRESETS["fast"].num_steps < PRESETS["balanced"].num_steps < paper.num_steps


def test_a_preset_can_be_changed():
    changed = OEFTSettings.preset("fast", alpha=50.0, taps=["relu3_2"])
    assert changed == replace(PRESETS["fast"], alpha=50.0, taps=("relu3_2",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alhpa": 3}, "'alhpa' is no setting"),
        ({"grid": 7}, "`grid` is 7"),
        ({"grid": 100}, "`grid` is 100; it must be 8 or more and divide `size`, 256"),
        ({"alpha": 0}, "`alpha` is 0; it must be above 0"),
        ({"alpha": "x"}, "`alpha` is 'x'; it must be a number"),
        ({"alpha": None}, "`alpha` is None; it must be a number"),
        ({"grid": 8.0}, "`grid` is 8.0; it must be a whole number"),
        ({"noise": -1}, "`noise` is -1; it must be 0 or more"),
        ({"augment": 1}, "`augment` is 1; it must be true or false"),
        ({"taps": "relu1_1"}, "`taps` is 'relu1_1'; it must be a list"),
        ({"learning_rate": -1.0}, "`learning_rate` is -1.0"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        OEFTSettings.preset("fast", **changes)


def test_a_layer_that_is_the_same_everywhere_has_finite_gradients():
    level = torch.full((1, 3, 4, 4), 0.5, requires_grad=True)
    joined = hierarchical_features({"flat": level, "other": image(4, 4)}, (4, 4))
    assert joined[:, :3].abs().max() == 0
    joined.square().sum().backward()
    assert level.grad.isfinite().all()


def test_augmentation_of_strength_zero_changes_nothing():
    assert torch.allclose(photometric(image(), STILL, seeded()), image(), atol=1e-6)
    assert torch.allclose(geometric(image(), STILL, seeded()), image(), atol=1e-4)


def test_augmentation_comes_from_the_generator_alone_and_differs_within_a_batch():
    batch = image().expand(2, -1, -1, -1)
    for change in (photometric, geometric):
        first, again, other = (change(batch, OEFTSettings(), seeded(seed)) for seed in (1, 1, 2))
        assert torch.equal(first, again)
        assert not torch.allclose(first, other, atol=1e-3)
        assert not torch.allclose(first[0], first[1], atol=1e-3)
        assert first.abs().max() <= 1 + 1e-5


def test_photometric_keeps_places_and_geometric_keeps_colors():
    dark = torch.full((1, 3, 8, 8), -0.5)
    dark[:, :, 2:4, 2:4] = 0.5
    changed = photometric(dark, OEFTSettings(noise=0), seeded())
    assert (changed[:, :, 2:4, 2:4] > changed[:, :, :2, :2].amax()).all()
    plain = torch.tensor([0.2, -0.3, 0.7]).view(1, 3, 1, 1).expand(1, 3, 9, 13)
    assert torch.allclose(geometric(plain, OEFTSettings(), seeded()), plain, atol=1e-5)


def test_a_rotation_does_not_shear_a_picture_that_is_not_square():
    settings = OEFTSettings(rotation=30, scale=0, shear=0, translation=0)
    angle = random_affine(1, settings, seeded(3), torch.zeros(1))[0]
    assert torch.allclose(angle[:, 0] @ angle[:, 1], torch.zeros(()), atol=1e-6)
    # A horizontal edge through the center of a wide picture becomes an edge of the drawn slope, in pixels.
    wide = torch.ones(1, 3, 41, 81)
    wide[:, :, :20] = -1
    turned = geometric(wide, settings, seeded(3))[0, 0]
    edge = [(turned[:, column] < 0).sum().item() for column in (30, 50)]
    assert (edge[1] - edge[0]) / 20 == pytest.approx(-float(angle[1, 0] / angle[0, 0]), abs=0.11)


def descriptors_of_identity(rows, columns):
    unit = torch.eye(rows * columns)[None]
    return Descriptors(unit, unit, (rows, columns), (rows, columns))


@pytest.mark.parametrize("size", [(24, 36), (25, 35), (100, 150)])
def test_an_identity_renders_the_exemplar_without_seams(size):
    exemplar = image(*size)
    rendered = render(descriptors_of_identity(8, 12), exemplar, size, alpha=200.0)
    assert rendered.shape[2:] == size
    assert (rendered - exemplar)[:, :, 3:-3, 3:-3].abs().mean() < 0.05


def test_a_large_result_is_enlarged_from_a_bounded_one():
    exemplar = image(64, 64)
    rendered = render(descriptors_of_identity(4, 4), exemplar, (400, 400), alpha=200.0)
    small = render(descriptors_of_identity(4, 4), exemplar, (4 * MAX_CELL, 4 * MAX_CELL), alpha=200.0)
    assert torch.equal(rendered, resize(small, (400, 400)))


def test_rendering_never_leaves_the_range():
    query = torch.nn.functional.normalize(torch.randn(1, 96, 8, generator=seeded()), dim=2)
    key = torch.nn.functional.normalize(torch.randn(1, 96, 8, generator=seeded(1)), dim=2)
    rendered = render(Descriptors(query, key, (8, 12), (8, 12)), image().sign(), (50, 75), alpha=100.0)
    assert rendered.abs().max() <= 1 + 1e-5


def test_the_best_networks_are_those_of_the_lowest_loss():
    pipe = tiny_oeft()
    run = FineTuning(pipe.backbone, image(), image(seed=1), TINY_SETTINGS, seeded())
    totals, weights = [], []
    for _ in range(3):
        weights.append([parameter.clone() for parameter in run._networks.parameters()])
        totals.append(run.step().losses["total"])
    weights.append([parameter.clone() for parameter in run._networks.parameters()])
    run.descriptors()
    if run.best_step < 3:
        assert run.best_step == totals.index(min(totals))
    for kept, wanted in zip(run._best_networks.parameters(), weights[run.best_step], strict=True):
        assert torch.equal(kept, wanted)


def test_bfloat16_steps_stay_close_to_fp32(monkeypatch):
    pipe = tiny_oeft()
    totals = {}
    for precision in (torch.float32, torch.bfloat16):
        monkeypatch.setattr("pipelines.oeft.fine_tuning.fast_precision", lambda _, p=precision: p)
        run = FineTuning(pipe.backbone, image(), image(seed=1), TINY_SETTINGS, seeded())
        totals[precision] = [run.step().losses["total"] for _ in range(3)]
    assert totals[torch.bfloat16] == pytest.approx(totals[torch.float32], rel=0.03)


def test_total_variation_counts_when_it_has_a_weight():
    pipe = tiny_oeft()
    settings = OEFTSettings(num_steps=1, size=32, grid=8, render_grid=8, lambda_total_variation=2.0)
    losses = FineTuning(pipe.backbone, image(), image(seed=1), settings, seeded()).step().losses
    parts = losses["contrastive"] + losses["perceptual"] + losses["contextual"] + 2 * losses["total_variation"]
    assert losses["total"] == pytest.approx(parts, rel=1e-4)
