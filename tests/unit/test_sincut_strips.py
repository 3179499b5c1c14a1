import pytest
import torch

from pipelines.sincut.networks import SinCUTGenerator
from pipelines.sincut.strips import translate_in_strips
from tests.tiny import seeded


@pytest.fixture(scope="module")
def network():
    network = SinCUTGenerator(base_channels=4, num_blocks=2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(generator=seeded(3))
    return network.eval()


def draw(height, width):
    return torch.rand(1, 3, height, width, generator=seeded()) * 2 - 1


@pytest.mark.parametrize("size", [(160, 40), (40, 160), (97, 33), (2, 150), (64, 64)])
def test_strips_agree_with_the_whole_picture(network, size):
    picture = draw(*size)
    whole = translate_in_strips(network, picture)
    strips = translate_in_strips(network, picture, strip_pixels=10 * min(size))
    assert whole.shape == picture.shape
    assert (whole - strips).abs().max() < 1e-4


def test_an_even_picture_is_what_the_generator_makes_of_it(network):
    picture = draw(24, 30)
    with torch.no_grad():
        assert torch.equal(translate_in_strips(network, picture), network(picture).clamp(-1, 1))


def test_the_overlap_is_not_larger_than_needed_by_much(network):
    picture = draw(20, 160)
    whole = translate_in_strips(network, picture)

    class Less(SinCUTGenerator):
        reach = network.reach - 6

    less = Less(base_channels=4, num_blocks=2)
    less.load_state_dict(network.state_dict())
    assert (whole - translate_in_strips(less, picture, strip_pixels=400)).abs().max() > 1e-4


def test_no_strip_holds_much_more_than_was_asked_for(network):
    sizes = []
    handle = network.register_forward_pre_hook(lambda module, inputs: sizes.append(inputs[0].shape))
    translate_in_strips(network, draw(40, 400), strip_pixels=40 * 20)
    handle.remove()
    assert len(sizes) == 20
    assert max(size[3] for size in sizes) <= 20 + 2 * network.reach
    assert all(size[2] == 40 for size in sizes)


def test_a_callers_autocast_changes_nothing(network):
    picture = draw(16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = translate_in_strips(network, picture)
    assert torch.equal(inside, translate_in_strips(network, picture))
