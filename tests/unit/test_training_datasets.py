import json

import pytest
import torch
from PIL import Image

from pipelines.training.datasets import (
    DatasetError,
    ImageBatches,
    ImageSet,
    IndexStream,
    find_labeled_images,
    load_images,
    split_held_out,
    write_split,
)


@pytest.fixture
def folder(tmp_path):
    for name, color in (("cat", "red"), ("dog", "blue"), ("monkey-a", "green")):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(10):
            Image.new("RGB", (20 + index, 30), color).save(tmp_path / "data" / name / f"{index}.png")
    return tmp_path / "data"


def test_classes_are_folders_and_patterns_leave_some_out(folder):
    files = find_labeled_images([folder], exclude=["monkey-*"])
    assert {file.class_name for file in files} == {"cat", "dog"}
    assert files[0].key == "cat/0.png"
    assert len(files) == 20


@pytest.fixture
def sharing(folder, tmp_path):
    """Four pictures that are all `cat/0.png`, two of them in a second folder."""
    for place in ("other/data/cat", "other/data/cat/more", "data/cat/more"):
        (tmp_path / place).mkdir(parents=True)
        Image.new("RGB", (8, 8), "red").save(tmp_path / place / "0.png")
    return [folder, tmp_path / "other" / "data"]


def test_pictures_of_one_name_have_keys_of_their_own(sharing, tmp_path):
    files = find_labeled_images(sharing)
    keys = {str(file.path.relative_to(tmp_path)): file.key for file in files if file.short_key == "cat/0.png"}
    assert keys == {
        "data/cat/0.png": f"cat/{tmp_path.name}/data/cat/0.png",
        "data/cat/more/0.png": f"cat/{tmp_path.name}/data/cat/more/0.png",
        "other/data/cat/0.png": "cat/other/data/cat/0.png",
        "other/data/cat/more/0.png": "cat/other/data/cat/more/0.png",
    }
    assert len({file.key for file in files}) == len(files)
    assert all(file.key == file.short_key for file in files if file.short_key != "cat/0.png")


def test_a_folder_may_be_given_once(folder):
    with pytest.raises(DatasetError, match="data is given twice"):
        find_labeled_images([folder, folder.parent / "data"])


def test_missing_and_empty_folders_are_named(folder, tmp_path):
    with pytest.raises(DatasetError, match="nowhere is not a folder"):
        find_labeled_images([tmp_path / "nowhere"])
    with pytest.raises(DatasetError, match="holds no pictures; expected .*/<class>/"):
        find_labeled_images([folder / "cat"])


def test_split_is_fixed_by_the_seed_and_survives_new_pictures(folder, tmp_path):
    files = find_labeled_images([folder])
    train, held_out = split_held_out(files, 0.2, seed=0)
    assert len(held_out) == 6
    assert {file.key for file in train} | {file.key for file in held_out} == {file.key for file in files}
    assert split_held_out(files[::-1], 0.2, seed=0)[1] == held_out
    assert split_held_out(files, 0.2, seed=1)[1] != held_out
    Image.new("RGB", (8, 8)).save(folder / "cat" / "new.png")
    again = split_held_out(find_labeled_images([folder]), 0.2, seed=0)[1]
    assert sum(file in again for file in held_out) >= 5
    write_split(tmp_path / "split.json", train, held_out, seed=0)
    assert json.loads((tmp_path / "split.json").read_text())["held_out"] == [file.key for file in held_out]


def test_any_size_and_mode_is_read_and_broken_pictures_are_named(folder):
    Image.new("L", (40, 9), 128).save(folder / "cat" / "grey.png")
    Image.new("RGBA", (9, 40), (255, 0, 0, 0)).save(folder / "cat" / "clear.png")
    (folder / "dog" / "broken.jpg").write_bytes(b"no picture")
    files = find_labeled_images([folder])
    loaded = load_images(files, ["cat", "dog", "monkey-a"], size=16)
    assert loaded.images.shape == (32, 3, 16, 16)
    assert loaded.images.dtype == torch.uint8
    assert len(loaded.skipped) == 1
    assert "broken.jpg" in loaded.skipped[0]
    names = [file.path.name for file in files if file.path.name != "broken.jpg"]
    assert loaded.images[names.index("clear.png")].min() == 255  # alpha lies on white
    assert loaded.images[names.index("grey.png")].unique().tolist() == [128]
    assert loaded.labels.bincount().tolist() == [12, 10, 10]


def test_nothing_readable_is_an_error(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="none of the 1 pictures"):
        load_images(find_labeled_images([tmp_path]), ["cat"], size=8)


def test_index_stream_shows_every_index_once_an_epoch_in_a_new_order():
    stream = IndexStream(7, seed=0)
    first, second = stream.take(7).tolist(), stream.take(7).tolist()
    assert sorted(first) == sorted(second) == list(range(7))
    assert first != second
    assert IndexStream(7, seed=1).take(7).tolist() != first


def test_index_stream_goes_on_from_a_saved_position():
    stream, resumed = IndexStream(7, seed=0), IndexStream(7, seed=0)
    stream.take(10)
    resumed.load_state_dict(stream.state_dict())
    assert resumed.take(20).tolist() == stream.take(20).tolist()
    with pytest.raises(DatasetError, match="length 7, this set has 8"):
        IndexStream(8, seed=0).load_state_dict(stream.state_dict())


def test_processes_share_one_batch():
    dataset = ImageSet(torch.zeros(10, 3, 2, 2, dtype=torch.uint8), torch.arange(10), ())
    whole = ImageBatches(dataset, 4, seed=0).next_batch()["label"]
    parts = [ImageBatches(dataset, 4, 0, process, 2).next_batch()["label"] for process in range(2)]
    assert sorted(torch.cat(parts).tolist()) == sorted(whole.tolist())
    with pytest.raises(DatasetError, match="batch_size 5 is not a multiple of the 2 processes"):
        ImageBatches(dataset, 5, 0, 0, 2)
