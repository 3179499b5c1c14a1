import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.training.datasets import DatasetError
from pipelines.training.unpaired import Side, UnpairedBatches, center_crops, crop_and_flip, read_side, resize_picture


def side(count):
    pictures = [torch.full((3, 8, 8), number, dtype=torch.uint8) for number in range(count)]
    return Side(pictures, [f"{number}.png" for number in range(count)], ())


def test_any_size_and_mode_is_read_and_a_broken_picture_is_named(tmp_path):
    (tmp_path / "deep").mkdir()
    Image.new("RGB", (50, 20), (10, 20, 30)).save(tmp_path / "wide.png")
    Image.new("L", (7, 9), 128).save(tmp_path / "grey.png")
    Image.new("RGBA", (40, 40), (200, 0, 0, 0)).save(tmp_path / "deep" / "clear.png")
    Image.new("P", (12, 30)).save(tmp_path / "palette.gif")
    (tmp_path / "torn.jpg").write_bytes(b"no picture")
    (tmp_path / "._wide.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    found = read_side(tmp_path, 24, "square")
    assert found.names == ["deep/clear.png", "grey.png", "palette.gif", "wide.png"]
    assert all(picture.shape == (3, 24, 24) and picture.dtype == torch.uint8 for picture in found.pictures)
    assert bool((found.pictures[0] == 255).all())  # alpha is laid on white
    assert bool((found.pictures[1] == 128).all())
    assert found.pictures[3][:, 5, 5].tolist() == [10, 20, 30]
    (sentence,) = found.skipped
    assert "torn.jpg" in sentence
    assert sentence.endswith("It is skipped.")


def test_pixels_survive_where_nothing_is_resized(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(read_side(tmp_path, 24, "square").pictures[0].permute(1, 2, 0).numpy(), pixels)


def test_short_side_keeps_the_aspect(tmp_path):
    assert resize_picture(Image.new("RGB", (100, 50)), 24, "short_side").size == (48, 24)
    assert resize_picture(Image.new("RGB", (3, 5)), 24, "short_side").size == (24, 40)
    assert resize_picture(Image.new("RGB", (100, 50)), 24, "square").size == (24, 24)


def test_folders_of_no_use_are_named(tmp_path):
    with pytest.raises(DatasetError, match="trainB is not a folder; expected are DIR/trainA and DIR/trainB"):
        read_side(tmp_path / "trainB", 24, "square")
    with pytest.raises(DatasetError, match="holds no pictures; PNG, JPEG"):
        read_side(tmp_path, 24, "square")
    (tmp_path / "torn.jpg").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"none of the 1 pictures of .* can be read; the first: .*torn\.jpg"):
        read_side(tmp_path, 24, "square")


def test_crops_cover_the_picture_and_are_mirrored():
    picture = torch.arange(36).view(1, 6, 6).expand(3, -1, -1)
    seen = set()
    for seed in range(60):
        crop = crop_and_flip(picture, 4, torch.Generator().manual_seed(seed))[0]
        mirrored = bool(crop[0, 0] > crop[0, 1])
        seen.add((int(crop.flip(-1)[0, 0] if mirrored else crop[0, 0]), mirrored))
    assert {corner for corner, _ in seen} == {0, 1, 2, 6, 7, 8, 12, 13, 14}
    assert {mirrored for _, mirrored in seen} == {False, True}


def test_an_epoch_sees_every_picture_of_the_larger_side_once():
    batches = UnpairedBatches(side(6), side(4), batch_size=2, seed=0)
    assert batches.steps_per_epoch == 3
    found = [batches.next_batch() for _ in range(3)]
    assert sorted(int(each[0, 0, 0]) for batch in found for each in batch["a"]) == list(range(6))
    assert {int(each[0, 0, 0]) for batch in found for each in batch["b"]} == set(range(4))
    assert UnpairedBatches(side(2), side(1), batch_size=5, seed=0).steps_per_epoch == 1


def test_processes_share_a_batch():
    alone = UnpairedBatches(side(6), side(4), 2, 0).next_batch()
    shares = [UnpairedBatches(side(6), side(4), 2, 0, process, 2).next_batch() for process in range(2)]
    for name in "ab":
        together = [picture for share in shares for picture in share[name]]
        assert all(torch.equal(*pair) for pair in zip(together, alone[name], strict=True))
    with pytest.raises(DatasetError, match="batch_size 1 is not a multiple of the 2 processes"):
        UnpairedBatches(side(6), side(4), 1, 0, 0, 2)


def test_positions_are_resumed_with_the_same_data_only():
    batches = UnpairedBatches(side(6), side(4), 2, 0)
    batches.next_batch()
    again = UnpairedBatches(side(6), side(4), 2, 0)
    again.load_state_dict(batches.state_dict())
    for left, right in zip(batches.next_batch().values(), again.next_batch().values(), strict=True):
        assert all(torch.equal(*pair) for pair in zip(left, right, strict=True))
    with pytest.raises(DatasetError, match="length 4, this set has 5"):
        UnpairedBatches(side(6), side(5), 2, 0).load_state_dict(batches.state_dict())


def test_preview_pictures_are_the_middles_of_pictures_from_first_to_last():
    pictures = [torch.full((3, 10, 12 + number), number, dtype=torch.uint8) for number in range(20)]
    pictures[0][:, 1:9, 2:10] = 255
    crops = center_crops(pictures, 8, torch.device("cpu"))
    assert crops.shape == (8, 3, 8, 8)
    assert bool((crops[0] == 1).all())
    assert crops[-1][0, 0, 0].item() == pytest.approx(19 / 127.5 - 1)
    assert len(center_crops(pictures[:2], 8, torch.device("cpu"))) == 2
