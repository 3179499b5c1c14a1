import pytest
import torch

from pipelines.cut.image_pool import ImagePool
from tests.unit.test_training_loop import same
from tests.unit.tiny_training import newest_state
from tests.unit.tiny_unpaired import run_tiny, tiny_config, tiny_trainer, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


def pictures(count=1):
    source = torch.Generator().manual_seed(0)
    return [torch.rand(count, 3, 24, 24, generator=source) * 2 - 1 for _ in range(2)]


def test_ten_steps_equal_five_and_resume_and_five(data, tmp_path):
    config = tiny_config("cyclegan")  # its pools are full from the third step on
    run_tiny(data, tmp_path / "whole", config, steps=10)
    run_tiny(data, tmp_path / "parts", config, steps=5)
    torch.manual_seed(999)
    run_tiny(data, tmp_path / "parts", config, steps=10)
    whole = newest_state(tmp_path / "whole")
    assert same(whole, newest_state(tmp_path / "parts"))
    assert len(whole["trainer"]["pools"][0]["a"]["pictures"]) == 2


def test_losses_add_up_and_compare_the_right_pictures():
    trainer = tiny_trainer(tiny_config("cyclegan"))
    real_a, real_b = pictures()
    with torch.no_grad():
        there, back = trainer.generators["a2b"], trainer.generators["b2a"]
        cycle = (back(there(real_a)) - real_a).abs().mean() + (there(back(real_b)) - real_b).abs().mean()
        identity = (there(real_b) - real_b).abs().mean() + (back(real_a) - real_a).abs().mean()
        judged = [(trainer.discriminators["b"], there(real_a)), (trainer.discriminators["a"], back(real_b))]
        gan = sum((discriminator(fake) - 1).square().mean() for discriminator, fake in judged)
    losses = trainer.optimize(real_a, real_b)
    assert losses["cycle"] == pytest.approx(cycle.item(), rel=1e-4)
    assert losses["identity"] == pytest.approx(identity.item(), rel=1e-4)
    assert losses["g_gan"] == pytest.approx(gan.item(), rel=1e-4)
    assert losses["g"] == pytest.approx(losses["g_gan"] + 10 * losses["cycle"] + 5 * losses["identity"], rel=1e-5)


def test_discriminators_are_trained_on_their_own_loss_only():
    trainer = tiny_trainer(tiny_config("cyclegan", batch_size=2))
    real_a, real_b = pictures(2)
    with torch.no_grad():
        fake_b = trainer.generators["a2b"](real_a)
    judge = trainer.discriminators["b"]
    loss = 0.5 * (judge(fake_b).square().mean() + (judge(real_b) - 1).square().mean())
    wanted = torch.autograd.grad(loss, judge.convs[0].weight)[0]
    trainer.optimize(real_a, real_b)
    torch.testing.assert_close(judge.convs[0].weight.grad, wanted, atol=1e-4 * wanted.abs().max().item(), rtol=0)


def test_without_identity_loss_its_passes_are_left_out():
    losses = tiny_trainer(tiny_config("cyclegan", lambda_identity=0.0)).optimize(*pictures())
    assert losses["identity"] == 0
    assert losses["g"] == pytest.approx(losses["g_gan"] + 10 * losses["cycle"], rel=1e-5)


def test_pool_gives_back_earlier_pictures():
    pool, generator = ImagePool(4), torch.Generator().manual_seed(0)
    first = torch.arange(4.0).view(4, 1, 1, 1)
    assert torch.equal(pool.swap(first, generator), first)
    given = torch.arange(4.0, 204.0).view(200, 1, 1, 1)
    found = pool.swap(given, generator)
    newest = (found == given).float().mean().item()
    assert 0.35 < newest < 0.65
    assert bool((found <= given).all())
    kept = [picture.item() for picture in pool.state_dict()["pictures"]]
    returned = found.flatten().tolist()
    assert sorted(kept + returned) == [float(value) for value in range(204)]  # nothing is lost or doubled


def test_pool_of_none_gives_back_what_it_gets():
    picture = torch.rand(2, 3, 4, 4)
    assert torch.equal(ImagePool(0).swap(picture), picture)


def test_initial_weights_are_normal():
    trainer = tiny_trainer(tiny_config("cyclegan", base_channels=16, init_gain=0.02))
    for network in trainer.networks.values():
        weights = torch.cat([each.flatten() for each in network.parameters() if each.ndim == 4])
        assert weights.std().item() == pytest.approx(0.02, rel=0.05)
        assert all(each.abs().max() == 0 for each in network.parameters() if each.ndim == 1)
    assert not trainer.generators["a2b"].config["antialias_down"]


def test_preview_shows_there_and_back():
    trainer = tiny_trainer(tiny_config("cyclegan"))
    sheet = trainer.preview({"a": [torch.zeros(3, 28, 30, dtype=torch.uint8)] * 2})
    assert sheet.size == (48, 72)
    assert sheet.crop((0, 0, 48, 24)).getextrema() == ((0, 0),) * 3
