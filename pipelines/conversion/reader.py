"""Weights out of a file that a stranger made: tensors only, no code of the file is run."""

from __future__ import annotations

import io
import mmap
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pipelines.conversion.pickled import check_pickle
from pipelines.conversion.report import ConversionError

MAX_BYTES = 2 * 10**9
_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the pickled number that torch's files before 1.6 begin with
_LEGACY_PICKLES = 5  # that number, the version, the system, the tensors, the order of their values
_PREFIX = "module."  # of a network that was saved inside DataParallel
_OTHER_FILES = {
    b"<!DOCTYPE": "a web page: the download gave a page in place of the file",
    b"<html": "a web page: the download gave a page in place of the file",
    b"version https://git-lfs": "a pointer of Git LFS: run `git lfs pull` for the file itself",
    b"\x1f\x8b": "a compressed archive: unpack it, and give the file of the generator",
}


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read the weights of one network.

    The file may be one of `torch.save` (also of the format before torch 1.6) or of safetensors. What a pickle names
    is looked at before torch reads it with `weights_only=True`; what it declares may not exceed the file's size.

    Args:
        path: the file.

    Returns:
        Tensors on the CPU by name; the prefix `module.` that all names of some files begin with is removed.

    Raises:
        ConversionError: there is no such file, or it is damaged, too large, or holds something else.
    """
    path = Path(path)
    state, size = _read(path)
    return _only_tensors(state, path.name, size)


def read_networks(path: str | Path) -> dict[str, dict[str, Tensor]]:
    """Read the weights of several networks that one file holds by name, as `read_state_dict` reads those of one.

    Args:
        path: the file.

    Returns:
        The state dict of every network by the name in the file; states of optimizers are left out.

    Raises:
        ConversionError: there is no such file, or it is damaged, too large, or holds something else.
    """
    path = Path(path)
    state, size = _read(path)
    entries = dict(dict.items(state)) if isinstance(state, dict) else {}
    if not entries or not all(isinstance(key, str) and isinstance(value, dict) for key, value in entries.items()):
        raise ConversionError(f"{path.name} does not hold several networks by name, each with its state_dict().")
    networks = {key: value for key, value in entries.items() if not _is_optimizer(value)}
    return {key: _only_tensors(value, f"`{key}` of {path.name}", size) for key, value in networks.items()}


def _read(path: Path) -> tuple[Any, int]:
    """What the file holds, which may be anything that torch can read without running code, and its size in bytes."""
    name = path.name
    if path.is_dir():
        raise ConversionError(_folder_message(path))
    if not path.is_file():
        raise ConversionError(f"There is no file {path}.")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise ConversionError(f"{path} cannot be read: {error.strerror}.") from error
    if not size:
        raise ConversionError(f"{name} is empty: fetch it again.")
    if size > MAX_BYTES:
        raise ConversionError(f"{name} has {size / 1e9:.1f} GB; at most {MAX_BYTES / 1e9:.0f} GB are accepted.")

    if start.startswith(_ZIP):
        _check_zip(path, size)
        return _torch_load(path), size
    if start.startswith(_PICKLE):
        _check_legacy(path, size, start)
        return _torch_load(path), size
    if start[8:9] == b"{":
        return _load_safetensors(path), size
    raise ConversionError(f"{name} is {_other_kind(start)}.")


def _is_optimizer(state: dict[str, Any]) -> bool:
    return {"state", "param_groups"} <= dict.keys(state)


def _check_zip(path: Path, size: int) -> None:
    """Check the sums of a `torch.save` archive, what it declares, and the pickle in it."""
    name = path.name
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            pickles = [entry for entry in names if entry.endswith("/data.pkl") and entry.count("/") == 1]
            if any(entry.endswith("/constants.pkl") for entry in names):
                raise ConversionError(f"{name} is a TorchScript program: give the file of the generator's weights.")
            if len(pickles) != 1:
                raise ConversionError(
                    f"{name} is a zip archive, but not one of torch.save: unpack it, and give the generator's file."
                )
            if len(set(names)) != len(names):
                raise ConversionError(f"{name} is damaged or made to do harm: names in its archive occur twice.")
            stored = sum(entry.file_size for entry in entries)
            if stored > size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise ConversionError(
                    f"{name} is damaged or made to do harm: it unpacks to {stored} bytes and has {size}; torch.save "
                    "never compresses."
                )
            if broken := archive.testzip():
                raise ConversionError(f"{name} is damaged: the checksum of {broken} is wrong. Fetch it again.")
            check_pickle(io.BytesIO(archive.read(pickles[0])), name, size, legacy=False)
    except ConversionError:
        raise
    except Exception as error:  # zipfile raises BadZipFile, and struct's and the disk's errors
        raise ConversionError(f"{name} is damaged or cut off: its archive cannot be read. Fetch it again.") from error


def _check_legacy(path: Path, size: int, start: bytes) -> None:
    """Check the pickles of a file of the format before torch 1.6, or of any other pickle."""
    is_torch = start.startswith(_LEGACY)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for _ in range(_LEGACY_PICKLES if is_torch else 1):
            check_pickle(data, path.name, size, legacy=True)  # type: ignore[arg-type]
    if not is_torch:
        raise ConversionError(f"{path.name} is a pickle, but not one of torch.save: save the network's state_dict().")


def _torch_load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises anything from EOFError to UnpicklingError here
        raise ConversionError(f"{path.name} is damaged or cut off: torch cannot read it. Fetch it again.") from error


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ConversionError(f"{path.name} is damaged or cut off ({error}): fetch it again.") from error


def _only_tensors(state: Any, name: str, size: int) -> dict[str, Tensor]:
    """Refuse what is no state dict, and tensors that repeat few bytes as very many values."""
    if not isinstance(state, dict):
        raise ConversionError(f"{name} holds a {type(state).__name__}, not the state_dict() of a network.")
    state = dict(dict.items(state))  # a pickle may give its dict attributes, such as another `items`
    if _is_optimizer(state):
        raise ConversionError(f"{name} is the state of an optimizer: give the file of the generator.")
    others = [f"{key!r} ({type(value).__name__})" for key, value in state.items() if not isinstance(value, Tensor)]
    if others or not all(isinstance(key, str) for key in state):
        raise ConversionError(
            f"{name} is not the state_dict() of one network; besides tensors it holds {', '.join(others[:8])}: save "
            "the generator's state_dict() alone."
        )
    if not state or any(value.numel() == 0 for value in state.values()):
        raise ConversionError(f"{name} holds no values: {'empty tensors' if state else 'no tensors at all'}.")
    total = sum(value.numel() * value.element_size() for value in state.values())
    if total > size:
        raise ConversionError(f"{name} is made to do harm: its tensors take {total} bytes, and the file has {size}.")
    prefixed = all(key.startswith(_PREFIX) for key in state)
    return {key.removeprefix(_PREFIX) if prefixed else key: value.detach() for key, value in state.items()}


def _other_kind(start: bytes) -> str:
    for beginning, kind in _OTHER_FILES.items():
        if start.lower().startswith(beginning.lower()):
            return kind
    if start[257:262] == b"ustar":
        return "an archive: unpack it, and give the file of the generator"
    return "not a file of weights: files of torch.save (.pth, .pt) and safetensors are accepted"


def _folder_message(folder: Path) -> str:
    files = sorted(path.name for path in folder.glob("*_net_G*.pth"))
    if not files:
        return f"{folder} is a folder: give the file of the generator, such as latest_net_G.pth."
    message = f"{folder} is a folder: give one file of it, {' or '.join(files)}."
    if any(file.endswith("_net_G_A.pth") for file in files):
        message += " Those of CycleGAN translate in one direction each: G_A from A to B, G_B from B to A."
    return message
