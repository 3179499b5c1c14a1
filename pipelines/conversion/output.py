"""A pipeline folder that is written whole or not at all, and says where its weights came from."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.conversion.report import ConversionError

_README = """\
---
license: other
tags:
- image-to-image
---

# {title}

Converted from the file `{file}` (sha256 `{sha256}`) into a pipeline folder. The weights are {precision}.

Load it with `{pipeline}.from_pretrained("<this folder>")`.

The license of these weights is their owner's: the one that the original file was published under.
"""


@contextmanager
def whole_folder(folder: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a new folder to write to, which takes the place of `folder` when the block ends without an error.

    Args:
        folder: where the result will be; it may be an empty folder.
        overwrite: replace a folder that holds a pipeline.

    Raises:
        ConversionError: `folder` is a file, or holds something that may not be replaced.
    """
    check_free(folder, overwrite=overwrite)
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        new, old = Path(temporary, "new"), Path(temporary, "old")
        new.mkdir()
        yield new
        check_free(folder, overwrite=overwrite)
        if folder.exists():
            os.replace(folder, old)
        os.replace(new, folder)


def check_free(folder: Path, *, overwrite: bool = False) -> None:
    """Refuse a place where something lies that may not be replaced.

    Raises:
        ConversionError: it is a file or a link, a folder that is not empty, or with `overwrite` one without a
            pipeline.
    """
    if folder.is_symlink() or folder.is_file():
        raise ConversionError(f"{folder} is a file or a link: give another folder for the output.")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not overwrite:
        raise ConversionError(f"{folder} is not empty: give another folder, or --overwrite to replace a pipeline.")
    if not (folder / "model_index.json").is_file():
        raise ConversionError(f"{folder} holds no pipeline, so --overwrite does not replace it: give another folder.")


def readme(file: str, sha256: str, pipeline: str, precision: str) -> str:
    """The README.md of a converted pipeline.

    Args:
        file: name of the file that was converted.
        sha256: of that file.
        pipeline: name of the pipeline's class.
        precision: how the weights are stored, in words.
    """
    shown = "".join(character if character.isprintable() and character != "`" else "_" for character in file)
    title = f"{pipeline} from {shown}"
    return _README.format(title=title, file=shown, sha256=sha256, pipeline=pipeline, precision=precision)
