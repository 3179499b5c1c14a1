"""Files that are damaged, hostile, or something else: each is refused in plain words, and nothing of it is run."""

import os
import pickle
import pickletools
import random
import re
import struct
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipelines.conversion import reader
from pipelines.conversion.reader import read_state_dict
from pipelines.conversion.report import ConversionError
from tests.authors_cut import authors_file

STATE = {"model.1.weight": torch.arange(300.0), "model.1.bias": torch.ones(7)}
LEGACY = {"_use_new_zipfile_serialization": False}
HUGE = 2**31 - 1


class Attack:
    """Makes a file when it is unpickled in the ordinary way."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def refused(path: Path, message: str):
    with pytest.raises(ConversionError, match=message):
        read_state_dict(path)


def test_all_formats_read_the_same(tmp_path):
    torch.save(STATE, tmp_path / "a.pth")
    torch.save(STATE, tmp_path / "b.pth", **LEGACY)
    save_file(STATE, tmp_path / "c.safetensors")
    torch.save({f"module.{key}": value for key, value in STATE.items()}, tmp_path / "d.pth")
    for path in tmp_path.iterdir():
        found = read_state_dict(path)
        assert found.keys() == STATE.keys()
        assert all(torch.equal(found[key], value) for key, value in STATE.items())


def test_a_prefix_that_not_all_names_have_stays(tmp_path):
    torch.save({"module.a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "a.pth")
    assert list(read_state_dict(tmp_path / "a.pth")) == ["module.a", "b"]


# Hostile pickles


def in_a_zip(path: Path, attack: Attack):
    torch.save({**STATE, "attack": attack}, path)


def in_the_old_format(path: Path, attack: Attack):
    torch.save({**STATE, "attack": attack}, path, **LEGACY)


def before_the_tensors(path: Path, attack: Attack):
    torch.save(STATE, path, **LEGACY)
    first = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    assert path.read_bytes().startswith(first)
    path.write_bytes(first + pickle.dumps(attack, 2) + path.read_bytes()[len(first) :])


def behind_the_tensors(path: Path, attack: Attack):
    torch.save(STATE, path, **LEGACY)
    data = path.read_bytes()
    with path.open("rb") as file:
        for _ in range(4):
            list(pickletools.genops(file))
        end = file.tell()
    path.write_bytes(data[:end] + pickle.dumps(attack, 2) + data[end:])


def bare(protocol: int):
    def write(path: Path, attack: Attack):
        path.write_bytes(pickle.dumps(attack, protocol))

    write.__name__ = f"bare_{protocol}"
    return write


HIDDEN = [in_a_zip, in_the_old_format, before_the_tensors, behind_the_tensors, bare(2), bare(4), bare(5)]


@pytest.mark.parametrize("write", HIDDEN, ids=lambda write: write.__name__)
def test_code_is_named_and_not_run(tmp_path, write):
    marker, path = tmp_path / "marker", tmp_path / "latest_net_G.pth"
    write(path, Attack(marker))
    refused(path, r"latest_net_G\.pth holds more than tensors: posix\.system\. Code in a file is never run")
    assert not marker.exists()


@pytest.mark.parametrize("protocol", [0, 1])
def test_pickles_of_the_first_protocols_are_not_even_looked_at(tmp_path, protocol):
    marker, path = tmp_path / "marker", tmp_path / "latest_net_G.pth"
    bare(protocol)(path, Attack(marker))
    refused(path, "is not a file of weights")
    assert not marker.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_the_attack_is_a_real_one(tmp_path, zipped):
    marker, path = tmp_path / "marker", tmp_path / "latest_net_G.pth"
    (in_a_zip if zipped else in_the_old_format)(path, Attack(marker))
    torch.load(path, weights_only=False)
    assert marker.exists()


def test_torch_alone_would_not_run_it_either(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "check_pickle", lambda *args, **kwargs: None)
    marker, path = tmp_path / "marker", tmp_path / "latest_net_G.pth"
    for write in (in_a_zip, in_the_old_format):
        write(path, Attack(marker))
        refused(path, "torch cannot read it")
    assert not marker.exists()


def test_a_whole_pickled_network(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.pth")
    refused(tmp_path / "a.pth", r"more than tensors: .*torch\.nn\.modules\.linear\.Linear.*state_dict\(\) alone")


# Tensors that are larger than the file


def rezip(path: Path, change, compression: int = zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about names that occur twice
        for name, data in change(entries):
            archive.writestr(name, data)


def declare(data: bytes, values: bytes) -> bytes:
    """Replace the number of values of the first tensor, which has 300 of them."""
    assert data.count(b"M\x2c\x01") >= 2
    return data.replace(b"M\x2c\x01", values, 1)


def test_a_tensor_that_is_declared_too_large(tmp_path):
    old, new = tmp_path / "old.pth", tmp_path / "new.pth"
    values = b"J" + struct.pack("<i", HUGE)
    torch.save(STATE, old, **LEGACY)
    old.write_bytes(declare(old.read_bytes(), values))
    torch.save(STATE, new)
    rezip(new, lambda entries: [(n, declare(d, values) if n.endswith("data.pkl") else d) for n, d in entries])
    for path in (old, new):
        refused(path, rf"declares {HUGE + 7} values, more than it has bytes \({path.stat().st_size}\)")


@pytest.mark.parametrize(
    "values",
    [
        b"\x8a\x08" + struct.pack("<q", 2**60) + b"K\x05",  # another number behind the number of values
        b"J" + struct.pack("<i", -1),
        b"K\x05h\x07",  # from the memo
        b"G" + struct.pack(">d", 1e18),
    ],
    ids=["two numbers", "negative", "memo", "float"],
)
def test_a_number_of_values_that_is_hidden(tmp_path, values):
    path = tmp_path / "old.pth"
    torch.save(STATE, path, **LEGACY)
    data = path.read_bytes()
    if values.startswith(b"\x8a"):
        assert b"M\x2c\x01N" in data
        path.write_bytes(data.replace(b"M\x2c\x01N", values, 1))
    else:
        path.write_bytes(declare(data, values))
    refused(path, "describes a tensor as torch does not")


@pytest.mark.parametrize("options", [{}, LEGACY], ids=["zip", "old format"])
def test_a_tensor_that_repeats_one_value(tmp_path, options):
    torch.save({"model.1.weight": torch.zeros(1).expand(10**12)}, tmp_path / "a.pth", **options)
    refused(tmp_path / "a.pth", "made to do harm: its tensors take 4000000000000 bytes")


def test_a_zip_bomb(tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"model.1.weight": torch.zeros(1_000_000)}, path)
    rezip(path, lambda entries: entries, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 20_000
    refused(path, r"it unpacks to 400\d{4} bytes and has \d{4,5}; torch\.save never compresses")


def test_a_name_that_occurs_twice(tmp_path):
    torch.save(STATE, tmp_path / "a.pth")
    rezip(tmp_path / "a.pth", lambda entries: [*entries, entries[-1]])
    refused(tmp_path / "a.pth", "names in its archive occur twice")


def test_a_list_of_tensors_without_end(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(b"\x80\x02" + b"N0" * 200_000 + b".")
    refused(path, "its list of tensors takes more than 200000 steps")


def test_a_file_that_is_too_large(tmp_path, monkeypatch):
    torch.save(STATE, tmp_path / "a.pth")
    monkeypatch.setattr(reader, "MAX_BYTES", 1000)
    refused(tmp_path / "a.pth", "at most 0 GB are accepted")


# Damaged files


@pytest.fixture(params=["zip", "old format", "safetensors"])
def sound(request, tmp_path) -> Path:
    path = tmp_path / "latest_net_G.pth"
    if request.param == "safetensors":
        save_file(STATE, path)
    else:
        torch.save(STATE, path, **({} if request.param == "zip" else LEGACY))
    return path


def test_truncated_files(sound):
    data = sound.read_bytes()
    for length in {1, 4, 14, 15, 16, 100, 300, *range(500, len(data), 97), len(data) - 1}:
        sound.write_bytes(data[:length])
        refused(sound, "damaged or cut off|is not a file of weights|is a pickle, but not one|cannot be read")


def test_a_flipped_bit_never_ends_in_another_error(sound):
    data, flips = sound.read_bytes(), random.Random(0)
    for _ in range(100):
        damaged = bytearray(data)
        damaged[flips.randrange(len(data))] ^= 1 << flips.randrange(8)
        sound.write_bytes(damaged)
        try:
            state = read_state_dict(sound)
        except ConversionError:
            continue
        assert all(isinstance(value, torch.Tensor) for value in state.values())


def test_a_flipped_bit_in_a_weight_is_found_by_the_checksum(tmp_path):
    path = tmp_path / "latest_net_G.pth"
    torch.save(STATE, path)
    data = path.read_bytes()
    place = data.index(struct.pack("<3f", 100, 101, 102))
    path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    refused(path, r"latest_net_G\.pth is damaged: the checksum of latest_net_G/data/0 is wrong")


# Something else

CONTENTS = {
    "nothing": (b"", "is empty: fetch it again"),
    "text": (b"these are no weights at all", "is not a file of weights: files of torch.save"),
    "web page": (b"<!doctype html><html>404</html>", "is a web page: the download gave a page"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid", "is a pointer of Git LFS: run `git lfs pull`"),
    "gzip": (b"\x1f\x8b\x08\0\0", "is a compressed archive: unpack it"),
    "tar": (b"checkpoints/".ljust(257, b"\0") + b"ustar\x0000", "is an archive: unpack it"),
    "pickle": (pickle.dumps({"a": [1.0]}), "is a pickle, but not one of torch.save"),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_other_files(tmp_path, kind):
    data, message = CONTENTS[kind]
    (tmp_path / "latest_net_G.pth").write_bytes(data)
    refused(tmp_path / "latest_net_G.pth", rf"^latest_net_G\.pth {message}")


def test_other_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("checkpoints/latest_net_G.pth", b"")
    refused(tmp_path / "a.pth", "is a zip archive, but not one of torch.save: unpack it")
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("net/data.pkl", b"")
        archive.writestr("net/constants.pkl", b"")
    refused(tmp_path / "a.pth", "is a TorchScript program")


def test_other_objects_of_torch(tmp_path):
    network = torch.nn.Linear(2, 2)
    objects = {
        "is the state of an optimizer": torch.optim.Adam(network.parameters()).state_dict(),
        r"besides tensors it holds 'G' \(OrderedDict\), 'epoch' \(int\)": {"G": network.state_dict(), "epoch": 3},
        "holds a list, not the state_dict": [torch.ones(1)],
        "holds a Tensor, not the state_dict": torch.ones(1),
        "no tensors at all": {},
        "empty tensors": {"a": torch.ones(0, 5)},
        "is not the state_dict": {1: torch.ones(2)},
    }
    for message, value in objects.items():
        torch.save(value, tmp_path / "a.pth")
        refused(tmp_path / "a.pth", message)


class Disguised(dict):
    """Is pickled as a dict that brings an `items` of its own."""

    def __reduce__(self):
        return OrderedDict, (), {"items": "none"}, None, iter(STATE.items())


def test_attributes_of_a_pickled_dict_do_not_count(tmp_path):
    torch.save(Disguised(), tmp_path / "a.pth")
    assert torch.load(tmp_path / "a.pth", weights_only=True).items == "none"
    assert read_state_dict(tmp_path / "a.pth").keys() == STATE.keys()


def test_folders_and_missing_files(tmp_path):
    refused(tmp_path / "a.pth", rf"There is no file {re.escape(str(tmp_path))}/a\.pth")
    refused(tmp_path, "is a folder: give the file of the generator, such as latest_net_G.pth")
    for letter in ("D_A", "G_A", "G_B"):
        torch.save(authors_file(), tmp_path / f"latest_net_{letter}.pth")
    refused(
        tmp_path, "give one file of it, latest_net_G_A.pth or latest_net_G_B.pth. Those of CycleGAN .* from B to A"
    )
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "There is no file")
