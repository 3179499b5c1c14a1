"""A pipeline folder that is written whole or not at all, and says where its weights came from."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipelines.conversion.report import ConversionError

_NETWORKS = "generator/config.json"  # what a folder of networks without a pipeline has

_README = """\
---
license: other
tags:
- image-to-image
---

# {title} from {first}

Converted from {sources} into {what}. The weights are {precision}.

{usage}
{notes}
The license of these weights is their owner's: the one that the original {files} published under.
"""


@contextmanager
def whole_folder(folder: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a new folder to write to, which takes the place of `folder` when the block ends without an error.

    Args:
        folder: where the result will be; it may be an empty folder.
        overwrite: replace a folder that holds a pipeline, or a generator without one.

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
            pipeline or a generator.
    """
    if folder.is_symlink() or folder.is_file():
        raise ConversionError(f"{folder} is a file or a link: give another folder for the output.")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not overwrite:
        raise ConversionError(f"{folder} is not empty: give another folder, or --overwrite to replace a pipeline.")
    if not any((folder / name).is_file() for name in ("model_index.json", _NETWORKS)):
        raise ConversionError(f"{folder} holds no pipeline, so --overwrite does not replace it: give another folder.")


def readme(files: Mapping[str, str], title: str, usage: str, precision: str, notes: Sequence[str] = ()) -> str:
    """The README.md of a converted checkpoint.

    Args:
        files: sha256 by name of the files that were converted.
        title: what it is now, such as a pipeline's class.
        usage: how to load it, in a sentence.
        precision: how the weights are stored, in words.
        notes: sentences on what was left out.
    """
    shown = {_printable(name): digest for name, digest in files.items()}
    return _README.format(
        title=title,
        first=next(iter(shown)),
        sources=("the file " if len(shown) == 1 else "the files ")
        + ", ".join(f"`{name}` (sha256 `{digest}`)" for name, digest in shown.items()),
        what="a pipeline folder" if title.endswith("Pipeline") else "a folder of networks",
        precision=precision,
        usage=usage,
        notes="".join(f"\n{_printable(note)}\n" for note in notes),
        files="file was" if len(shown) == 1 else "files were",
    )


def usage(pipeline: str) -> str:
    """How a pipeline folder is loaded."""
    return f'Load it with `{pipeline}.from_pretrained("<this folder>")`.'


def precision(half: bool) -> str:
    """How weights are stored, in words."""
    return "rounded to half precision" if half else "in fp32"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() and character != "`" else "_" for character in text)
