"""Checkpoints that are several files of one folder: where they are, and all of them converted or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipelines.conversion.reader import read_state_dict
from pipelines.conversion.report import ConversionError

MAX_NAMED = 8


def find_folder(source: Path, names: Mapping[str, str]) -> Path:
    """The folder that holds all of the files: `source`, or the only one below it.

    Args:
        source: a folder.
        names: of the files, by network.

    Raises:
        ConversionError: no folder holds them, or several do.
    """
    wanted = ", ".join(names.values())
    if not source.is_dir():
        raise ConversionError(f"{source} is no folder: give the one that holds {wanted}.")
    if _holds(source, names):
        return source
    found = sorted({path.parent for name in names.values() for path in source.rglob(name)})
    whole = [folder for folder in found if _holds(folder, names)]
    if len(whole) == 1:
        return whole[0]
    if whole:
        raise ConversionError(
            f"{source} holds {len(whole)} checkpoints: give one of {_listed(whole, source)} under it."
        )
    near = f" {found[0].relative_to(source)} lacks {_lacking(found[0], names)}." if found else ""
    raise ConversionError(f"{source} holds no checkpoint: {wanted} are needed, in one folder.{near}")


def convert_files(
    files: Mapping[str, Path], conversions: Mapping[str, Callable[[Mapping[str, Any], str], Any]]
) -> dict[str, Any]:
    """Read and convert one network a file.

    Args:
        files: by network.
        conversions: by network, `convert(state, source_name)`.

    Returns:
        The networks.

    Raises:
        ConversionError: with what is wrong about every file.
    """
    networks, errors = {}, []
    for network, path in files.items():
        try:
            networks[network] = conversions[network](read_state_dict(path), path.name)
        except ConversionError as error:
            errors.append(str(error))
    if errors:
        raise ConversionError("\n".join(errors))
    return networks


def describe_ignored(folder: Path, files: Mapping[str, Path]) -> list[str]:
    """One sentence on the files beside those that were read, if there are any."""
    others = sorted(path.name for path in folder.glob("*.pth") if path not in files.values())
    if not others:
        return []
    return [f"Not read, as states of training or other networks: {', '.join(others[:MAX_NAMED])}."]


def _holds(folder: Path, names: Mapping[str, str]) -> bool:
    return all((folder / name).is_file() for name in names.values())


def _lacking(folder: Path, names: Mapping[str, str]) -> str:
    return ", ".join(name for name in names.values() if not (folder / name).is_file())


def _listed(folders: list[Path], source: Path) -> str:
    return ", ".join(str(folder.relative_to(source)) for folder in folders[:MAX_NAMED])
