"""GAN losses, PatchNCE with its gradient, and picture preparation against the authors' numbers."""

import pytest
import torch
from PIL import Image

from pipelines.losses.gan import lsgan, nonsaturating
from pipelines.losses.patch_nce import patch_nce
from pipelines.training.unpaired import as_batch, resize_tensor
from tests.parity.fixtures import read_fixture


@pytest.mark.parametrize("shape", ["patch", "logit"])
def test_gan_losses(shape):
    recorded = read_fixture("losses")
    values, logits = recorded.meta["values"], recorded.tensors[f"pred_{shape}"]
    for name, loss in (("lsgan", lsgan), ("nonsaturating", nonsaturating)):
        for word, real in (("real", True), ("fake", False)):
            wanted = torch.tensor(values[f"{name}_{shape}_{word}"]).mean()  # theirs is one value a picture
            torch.testing.assert_close(loss(logits, real=real), wanted, rtol=1e-5, atol=0)


@pytest.mark.parametrize("temperature", [0.07, 0.2])
@pytest.mark.parametrize("across", [False, True])
def test_patch_nce(temperature, across):
    recorded = read_fixture("losses")
    name = f"nce_T{temperature}_all{int(across)}"
    batch = recorded.meta["config"]["nce"]["batch"]
    query = recorded.tensors["nce_q"].requires_grad_()
    key = recorded.tensors["nce_k"].unflatten(0, (batch, -1))
    loss = patch_nce([query.unflatten(0, (batch, -1))], [key], temperature, across_batch=across)
    assert loss.item() == pytest.approx(recorded.meta["values"][f"{name}_mean"], rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, query)
    torch.testing.assert_close(gradient, recorded.tensors[f"{name}_grad_q"], atol=2e-5, rtol=1e-4)


def prepared(size: int, resize: str, top: int, left: int, crop: int, flip: bool = False) -> torch.Tensor:
    picture = Image.open(read_fixture("preprocess").folder / "input.png").convert("RGB")
    pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    pixels = pixels.view(picture.height, picture.width, 3).permute(2, 0, 1)
    cut = resize_tensor(pixels, size, resize)[:, top : top + crop, left : left + crop]
    return as_batch([cut.flip(-1) if flip else cut], torch.device("cpu"))[0]


def test_training_pictures():
    wanted = read_fixture("preprocess").tensors
    found = prepared(286, "square", top=13, left=7, crop=256, flip=True)
    torch.testing.assert_close(found, wanted["resize_and_crop_286_256_pos7_13_flip"], atol=1 / 127.5, rtol=0)
    found = prepared(256, "square", top=0, left=0, crop=256)
    torch.testing.assert_close(found, wanted["test_resize_256"], atol=1 / 127.5, rtol=0)
    found = prepared(180, "short_side", top=5, left=3, crop=128)
    torch.testing.assert_close(found, wanted["scale_shortside_and_crop"], atol=1 / 127.5, rtol=0)
