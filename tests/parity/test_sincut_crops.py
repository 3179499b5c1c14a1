"""The zoomed crops of SinCUT against those of the authors' code."""

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.sincut.crops import zoomed_crop
from tests.parity.fixtures import read_fixture

FIXTURE = read_fixture("preprocess")


@pytest.mark.parametrize("name", ["zoom_patch_0", "zoom_patch_1", "zoom_patch_2"])
def test_a_zoomed_crop_is_theirs_to_one_gray_level(name):
    case = FIXTURE.meta["cases"][name]
    image = Image.open(FIXTURE.folder / FIXTURE.meta["input"]).convert("RGB")
    zoomed = [max(case["crop"], round(side * zoom)) for side, zoom in zip(image.size, case["zoom"], strict=True)]
    assert zoomed == case["zoomed_size"]

    columns, rows = case["grid"]
    column, row = divmod(case["patch_index"] % (columns * rows), rows)
    corner = [start + cell * case["crop"] for start, cell in zip(case["start"], (column, row), strict=True)]
    crop = np.asarray(zoomed_crop(image, tuple(zoomed), tuple(corner), case["crop"]))
    crop = crop[:, ::-1] if case["flip"] else crop
    pixels = torch.from_numpy(crop.copy()).permute(2, 0, 1).float() / 127.5 - 1
    assert (pixels - FIXTURE.tensors[name]).abs().max() <= 1 / 127.5 + 1e-6
