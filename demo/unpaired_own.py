"""A checkpoint that a visitor brings: from the Hub or as a file, kept as a pipeline folder for this visit only."""

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pipelines import CUTPipeline
from pipelines.conversion.report import ConversionError
from pipelines.cut.convert import read_generator
from pipelines.hub.errors import CheckpointError
from pipelines.hub.snapshot import download_snapshot, measure_snapshot

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


@dataclass(frozen=True)
class OwnCheckpoint:
    """A checkpoint of one visitor.

    Attributes:
        name: the Hub id, or the uploaded file's own name.
        revision: the commit on the Hub; None for a file.
        folder: a pipeline folder, which is deleted when the visitor leaves.
    """

    name: str
    revision: str | None
    folder: Path

    def load(self) -> CUTPipeline:
        """Load the pipeline on the CPU.

        Raises:
            CheckpointError: the folder is no longer there.
        """
        if not self.folder.is_dir():
            raise CheckpointError(f"{self.name} is no longer kept here: load it again.")
        return CUTPipeline.from_pretrained(self.folder)


def fetch_from_hub(name: str, folder: Path, max_megabytes: int) -> OwnCheckpoint:
    """Download a pipeline without the owner's token, so that only what is public can be asked for.

    Args:
        name: `owner/name`.
        folder: where the pipeline is put; must not exist.
        max_megabytes: a larger repository is refused before anything of it is transferred.

    Raises:
        CheckpointError: no such repository, too large, or not a sound `CUTPipeline`.
    """
    if not _HUB_ID.fullmatch(name):
        raise CheckpointError(f"{name!r} is not a Hub id; one of the form owner/name is accepted.")
    revision, size = measure_snapshot(name, token=False)
    if size > max_megabytes * 2**20:
        raise CheckpointError(f"{name} has {size / 2**20:.0f} MB; at most {max_megabytes} MB are accepted.")
    with tempfile.TemporaryDirectory() as cache:
        downloaded = download_snapshot(name, revision, cache_dir=cache, token=False)
        shutil.copytree(downloaded, folder)  # the files themselves: in the cache they are links
    own = OwnCheckpoint(name, revision, folder)
    try:
        own.load()
    except CheckpointError as error:
        raise CheckpointError(str(error).replace(str(folder), name)) from error
    return own


def convert_file(path: str, folder: Path, max_megabytes: int) -> OwnCheckpoint:
    """Convert a generator's `.pth`, which is read as data and never run.

    Args:
        path: the uploaded file.
        folder: where the pipeline is put.
        max_megabytes: a larger file is refused unread.

    Raises:
        ConversionError: too large, or no generator that this version knows.
    """
    name, size = Path(path).name, Path(path).stat().st_size
    if size > max_megabytes * 2**20:
        raise ConversionError(f"{name} has {size / 2**20:.0f} MB; at most {max_megabytes} MB are accepted.")
    try:
        CUTPipeline(read_generator(path)).save_pretrained(folder)
    except ConversionError as error:
        raise ConversionError(str(error).replace(path, name)) from error
    return OwnCheckpoint(name, None, folder)
