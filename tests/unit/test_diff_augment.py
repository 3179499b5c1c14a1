"""Differentiable augmentation."""

import pytest
import torch

from pipelines.training.diff_augment import DiffAugment

CPU = torch.device("cpu")


def draw(*kinds, count=64, size=16, seed=0):
    return DiffAugment.draw(kinds, count, size, torch.Generator().manual_seed(seed), CPU)


def images(count=64, size=16):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_none_changes_nothing():
    assert torch.equal(draw("none")(images()), images())


def test_translation_moves_whole_pixels_and_leaves_zeros():
    before, after = images(), draw("translation")(images())
    shifts = set()
    for old, new in zip(before, after, strict=True):
        found = [
            (y, x)
            for y in range(-2, 3)
            for x in range(-2, 3)
            if torch.equal(
                new[:, max(0, -y) : 16 - max(0, y), max(0, -x) : 16 - max(0, x)],
                old[:, max(0, y) : 16 + min(0, y), max(0, x) : 16 + min(0, x)],
            )
        ]
        assert len(found) == 1
        (y, x) = found[0]
        shifts.add((y, x))
        kept = torch.zeros(16, 16, dtype=torch.bool)
        kept[max(0, -y) : 16 - max(0, y), max(0, -x) : 16 - max(0, x)] = True
        assert (new[:, ~kept] == 0).all()
    assert len(shifts) > 10


def test_cutout_blanks_at_most_half_a_side():
    after = draw("cutout")(torch.ones(64, 3, 16, 16))
    share = (after == 0).float().mean(dim=(1, 2, 3))
    assert share.max() == 0.25
    assert 0 < share.min() < 0.25


@pytest.mark.parametrize("kind", ["color", "translation", "cutout"])
def test_gradients_pass_and_the_same_draw_changes_alike(kind):
    augment = draw(kind)
    given = images().requires_grad_()
    augment(given).square().sum().backward()
    assert given.grad.isfinite().all()
    assert given.grad.abs().sum() > 0
    assert torch.equal(augment(images()), augment(images()))
    assert torch.equal(draw(kind, seed=0)(images()), augment(images()))
    assert not torch.equal(draw(kind, seed=1)(images()), augment(images()))


def test_color_keeps_what_is_grey_grey():
    grey = images()[:, :1].expand(-1, 3, -1, -1)
    after = draw("color")(grey)
    torch.testing.assert_close(after[:, 0], after[:, 2])
    assert (after - grey).abs().mean() > 0.1
