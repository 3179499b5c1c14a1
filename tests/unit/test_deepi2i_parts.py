"""Parts of the DeepI2I pipeline: the square, factors of levels, steps between two vectors, batches."""

import pytest
import torch
from PIL import Image

from pipelines.deepi2i.animation import DeepI2IAnimation, linear_steps, spherical_steps
from pipelines.deepi2i.level_factors import per_level
from pipelines.deepi2i.rendering import CPU_BATCH, MAX_BATCH, adapt, choose_batch_size
from pipelines.deepi2i.square import cut_out, describe, find_square
from pipelines.images.formats import read_image
from pipelines.images.limits import ImageError
from pipelines.networks.biggan import BigGANGenerator
from pipelines.networks.stylegan import StyleGANGenerator
from pipelines.networks.working_copy import WorkingCopies
from tests.tiny import TINY_SIZES, picture, seeded, tiny_deepi2i, tiny_deepi2i_stylegan

LEVELS = (32, 16, 8, 4)


@pytest.mark.parametrize(
    ("size", "crop", "square"),
    [
        ((40, 30), None, (5, 0, 30)),
        ((30, 41), None, (0, 5, 30)),
        ((20, 20), None, (0, 0, 20)),
        ((40, 30), (38, 28, 2), (38, 28, 2)),
        ((40, 30), [0, 1, 7], (0, 1, 7)),
    ],
)
def test_the_square(size, crop, square):
    image = read_image(picture(*size))
    found = find_square(image, crop)
    assert found == square
    left, top, side = square
    assert torch.equal(cut_out(image, found)[0], image.pixels[:, top : top + side, left : left + side])
    assert bool(describe(found, image)) == (size != (side, side))


@pytest.mark.parametrize(
    "crop", [(11, 0, 30), (0, 1, 30), (-1, 0, 5), (0, 0, 1), (0, 0), (0, 0, 5.0), (0, 0, True), "abc"]
)
def test_a_square_outside_of_the_picture_is_refused(crop):
    with pytest.raises(ImageError, match="`crop` is .*is accepted"):
        find_square(read_image(picture(40, 30)), crop)


@pytest.mark.parametrize(
    ("value", "factors"),
    [
        (None, [1, 1, 1, 1]),
        (0.5, [0.5, 0.5, 0.5, 0.5]),
        ({8: 2, "4": 0}, [1, 1, 2, 0]),
        ([1, 2, 3, 4], [1, 2, 3, 4]),
    ],
)
def test_factors_of_levels(value, factors):
    assert per_level(value, LEVELS, name="strength", default=1.0) == dict(zip(map(str, LEVELS), factors, strict=True))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({64: 1}, "`strength` names level 64; the levels of this checkpoint are 32, 16, 8, 4"),
        ([1, 2], "`strength` has 2 numbers; there are 4 levels"),
        (-1, "`strength` has -1; finite numbers from 0 up"),
        (float("nan"), "`strength` has nan"),
        (True, "`strength` has True"),
        ("much", "`strength` has 'much'"),
    ],
)
def test_wrong_factors_are_named(value, message):
    with pytest.raises(ValueError, match=message):
        per_level(value, LEVELS, name="strength", default=1.0)


@pytest.mark.parametrize("steps", [linear_steps, spherical_steps])
def test_steps_begin_and_end_exactly(steps):
    start, end = torch.randn(2, 50, generator=seeded())
    way = steps(start, end, 7)
    assert way.shape == (7, 50)
    assert torch.equal(way[0], start)
    assert torch.equal(way[-1], end)
    assert torch.allclose(way.flip(0), steps(end, start, 7), atol=1e-5)
    assert torch.equal(steps(start, start, 3), start.expand(3, -1))


def test_the_arc_keeps_the_length():
    start, end = torch.nn.functional.normalize(torch.randn(2, 50, generator=seeded()))
    assert torch.allclose(spherical_steps(start, end, 9).norm(dim=1), torch.ones(9), atol=1e-5)
    assert linear_steps(start, end, 9).norm(dim=1)[4] < 0.9


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
@pytest.mark.parametrize(("bounce", "count"), [(True, 6), (False, 4)])
def test_an_animation_has_all_frames(tmp_path, suffix, bounce, count):
    frames = [Image.new("RGB", (8, 8), (60 * number, 0, 0)) for number in range(4)]
    path = tmp_path / f"way{suffix}"
    DeepI2IAnimation(frames, (), {}).save(path, frames_per_second=10, bounce=bounce)
    with Image.open(path) as image:
        assert image.n_frames == count
        assert image.info["loop"] == 0
        image.load()
        assert image.info["duration"] == 100


def test_what_an_animation_cannot_be(tmp_path):
    animation = DeepI2IAnimation([picture()], (), {})
    with pytest.raises(ValueError, match=r"a name that ends in .gif or .webp is accepted"):
        animation.save(tmp_path / "way.mp4")
    with pytest.raises(ValueError, match="`frames_per_second` is 0"):
        animation.save(tmp_path / "way.gif", frames_per_second=0)


def test_batches_are_even_and_bounded():
    with torch.device("meta"):
        small = BigGANGenerator(**TINY_SIZES, latent_dim=16)
        large, styled = BigGANGenerator(), StyleGANGenerator()
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert choose_batch_size(small, cpu, torch.float32, 3) == 3
    assert choose_batch_size(small, cpu, torch.float32, CPU_BATCH + 1) == (CPU_BATCH + 2) // 2
    assert choose_batch_size(small, cpu, torch.float32, 555) <= CPU_BATCH
    assert CPU_BATCH < choose_batch_size(small, gpu, torch.float32, 555) <= MAX_BATCH
    assert 1 <= choose_batch_size(styled, cpu, torch.float32, 555) < CPU_BATCH
    assert 1 <= choose_batch_size(large, gpu, torch.float32, 555) < choose_batch_size(large, gpu, torch.bfloat16, 555)


@pytest.mark.parametrize("make", [tiny_deepi2i, tiny_deepi2i_stylegan])
@torch.no_grad()
def test_what_is_added_is_weighted_and_a_level_of_weight_zero_costs_nothing(make, monkeypatch):
    pipe, image = make(), torch.rand(2, 3, 32, 32, generator=seeded()) * 2 - 1
    pipe.encoder.eval(), pipe.adaptor.eval()
    features = pipe.adaptor(pipe.encoder(image))
    monkeypatch.setattr(pipe.adaptor.blocks["16"], "forward", None)
    added = adapt(pipe.encoder, pipe.adaptor, image, {16: 0.0, 8: 0.5})
    assert added.keys() == {8}
    assert torch.allclose(added[8], 0.5 * features[8], atol=1e-6)


def test_a_working_copy_is_folded_and_computes_the_same():
    network = BigGANGenerator(32, 4, 5, 16, 8, 16).eval()  # by position: diffusers takes these for defaults
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    latent, embedding = torch.randn(2, 16, generator=seeded()), torch.randn(2, 8, generator=seeded(1))
    copies = WorkingCopies()
    copy = copies.get(network, torch.device("cpu"), torch.float32)
    with torch.no_grad():
        assert torch.allclose(copy(latent, embedding), network(latent, embedding), atol=1e-5)
    assert not [name for name in copy.state_dict() if name.endswith(".u")]
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert copies.get(network, torch.device("cpu"), torch.float32) is copy
    network.blocks[0].norm1.running_mean.add_(1)
    assert copies.get(network, torch.device("cpu"), torch.float32) is not copy
