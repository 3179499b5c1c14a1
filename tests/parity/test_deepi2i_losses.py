"""Hinge loss, reconstruction and spectral norm against the numbers of the authors' code."""

import pytest
import torch
from safetensors.torch import load_file

from pipelines.conversion.biggan import convert_discriminator, convert_generator
from pipelines.conversion.reader import read_state_dict
from pipelines.deepi2i.convert import convert_adaptor, convert_encoder
from pipelines.deepi2i.losses import reconstruction
from pipelines.losses.gan import hinge_discriminator, hinge_generator
from pipelines.networks.spectral_norm import SNConv2d
from tests.parity.fixtures import read_fixture

WEIGHTS = "result/animals/weights/DeepI2I_animals"
STRENGTH = 0.1


def test_hinge():
    fixture = read_fixture("losses")
    values, real, fake = fixture.meta["values"], fixture.tensors["hinge_real"], fixture.tensors["hinge_fake"]
    assert hinge_discriminator(real, real=True).item() == pytest.approx(values["hinge_D_real"], rel=1e-6)
    assert hinge_discriminator(fake, real=False).item() == pytest.approx(values["hinge_D_fake"], rel=1e-6)
    assert hinge_generator(fake).item() == pytest.approx(values["hinge_G"], rel=1e-6)


def test_reconstruction():
    """The authors compare the first two entries of the batch: one pair."""
    fixture = read_fixture("losses")
    values = fixture.meta["values"]
    levels = {32: 0.01, 16: 0.1, 8: 0.1, 4: 0.1}
    result, source = ({level: fixture.tensors[f"rec_feat_{level}"][i : i + 1] for level in levels} for i in (0, 1))
    total = hinge_generator(fixture.tensors["hinge_fake"]) + reconstruction(source, result, levels, squared=True)
    assert total.item() == pytest.approx(values["hinge_G_plus_rec"], rel=1e-5)


@torch.no_grad()
def test_spectral_norm():
    tensors = read_fixture("losses").tensors
    layer = SNConv2d(4, 6, 3, padding=1)
    layer.load_state_dict({"weight": tensors["sn_weight"], "bias": tensors["sn_bias"], "u": tensors["sn_u0"]})
    torch.testing.assert_close(layer.eval()(tensors["sn_x"]), tensors["sn_out_eval"], atol=2e-6, rtol=1e-5)
    assert torch.equal(layer.u, tensors["sn_u0"])
    layer.train()
    torch.testing.assert_close(layer(tensors["sn_x"]), tensors["sn_out_train"], atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(layer.u, tensors["sn_u0_after"], atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(layer(tensors["sn_x"]), tensors["sn_out_train2"], atol=2e-6, rtol=1e-5)


@pytest.fixture(scope="module")
def networks():
    folder = read_fixture("deepi2i_biggan").folder / WEIGHTS
    conversions = {"G": convert_generator, "D": convert_discriminator, "E1": convert_encoder, "A1": convert_adaptor}
    return {name: convert(read_state_dict(folder / f"{name}.pth")) for name, convert in conversions.items()}


@pytest.mark.parametrize("batch_size", [1, 2])
@torch.no_grad()
def test_losses_of_a_batch(networks, batch_size):
    """Every result is compared with its own source, which the authors' code does for one picture alone."""
    fixture = read_fixture("deepi2i_biggan")
    images, tensors = load_file(fixture.folder / "images.safetensors"), fixture.tensors
    recorded = fixture.meta["losses_eval_mode"][f"batch{batch_size}"]
    weights = {int(level): weight for level, weight in fixture.meta["config"]["D_fea_w"].items()}
    source, labels = images["t_x_all"][:batch_size], tensors["gy"][:batch_size]
    features = networks["A1"](networks["E1"](source))
    added = {level: STRENGTH * value for level, value in features.items()}
    fake = networks["G"](tensors["z"][:batch_size], networks["G"].embedding(labels), added)

    discriminator = networks["D"]
    real = discriminator(images["x_all"][:batch_size], tensors["y"][:batch_size])
    seen = discriminator.trunk(fake)
    logits = discriminator.judge(seen, labels)
    assert hinge_discriminator(real, real=True).item() == pytest.approx(recorded["D_loss_real"], rel=1e-4)
    assert hinge_discriminator(logits, real=False).item() == pytest.approx(recorded["D_loss_fake"], rel=1e-4)
    assert hinge_generator(logits).item() == pytest.approx(recorded["G_adv"], rel=1e-4)

    of_source = discriminator.trunk(source)
    squared = reconstruction(of_source, seen, weights, squared=True).item()
    assert squared == pytest.approx(recorded["rec_mse_all_pairs"], rel=1e-4)
    plain = reconstruction(of_source, seen, weights).item()
    assert plain == pytest.approx(recorded["rec_l1_all_pairs_as_in_paper"], rel=1e-4)
    for level, value in recorded["rec_per_scale_mse"].items():
        found = reconstruction(of_source, seen, {int(level): 1.0}, squared=True).item()
        assert found == pytest.approx(value, rel=1e-4)
