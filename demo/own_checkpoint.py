"""A checkpoint that a visitor brings, kept as a pipeline folder for this visit only."""

import re
import shutil
import tempfile
from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pipelines
from demo.devices import device_manager
from demo.widgets import count_in_words
from pipelines.hub.errors import CheckpointError
from pipelines.hub.snapshot import download_snapshot, measure_snapshot
from pipelines.hub.strict import read_index
from pipelines.images.limits import ImageError

LOADING: dict[str, Any] = {"concurrency_id": "own-checkpoint", "concurrency_limit": 1}  # beside the runs of others
TABS = {"CUTPipeline": "Unpaired", "DeepI2IPipeline": "Many-class"}  # that take checkpoints of visitors
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


@dataclass(frozen=True)
class OwnCheckpoint:
    """A checkpoint of one visitor.

    Attributes:
        name: the Hub id, or the uploaded file's own name.
        revision: the commit on the Hub; None for a file.
        folder: a pipeline folder, which is deleted when the visitor leaves.
        pipeline: name of the class that loads it.
    """

    name: str
    revision: str | None
    folder: Path
    pipeline: str

    def load(self) -> Any:
        """Load the pipeline on the CPU.

        Raises:
            CheckpointError: the folder is no longer there.
        """
        if not self.folder.is_dir():
            raise CheckpointError(f"{self.name} is no longer kept here: load it again.")
        return getattr(pipelines, self.pipeline).from_pretrained(self.folder)


def choose(name: str, own: OwnCheckpoint | None, known: Collection[str], keep_minutes: int) -> str | OwnCheckpoint:
    """Return the checkpoint of this name: one of the app's, or the visitor's own.

    Args:
        name: a checkpoint id, or the name of `own`.
        own: what the visitor brought, if anything.
        known: the ids of the app.
        keep_minutes: how long something brought is kept.

    Raises:
        ImageError: it is neither.
    """
    if own is not None and name == own.name:
        return own
    if name in known:
        return name
    raise ImageError(
        f"There is no checkpoint {name!r} here; there is {', '.join(known) or 'none'}. One of your own is forgotten "
        f"after {count_in_words(keep_minutes, 'minute')}: load it again."
    )


def borrow(checkpoint: str | OwnCheckpoint) -> AbstractContextManager[Any]:
    """Hold the pipeline of a checkpoint on the device until the block is left."""
    if isinstance(checkpoint, OwnCheckpoint):
        return device_manager().lend(checkpoint.load)
    return device_manager().use(checkpoint)


def as_visitor_knows(record: dict[str, Any], checkpoint: str | OwnCheckpoint) -> dict[str, Any]:
    """Return the record of a run, without the folder that an own checkpoint was loaded from."""
    if not isinstance(checkpoint, OwnCheckpoint):
        return record
    return {**record, "checkpoint": checkpoint.name, "revision": checkpoint.revision}


def fetch_from_hub(name: str, folder: Path, max_megabytes: int, pipeline: str) -> OwnCheckpoint:
    """Download a pipeline without the owner's token, so that only what is public can be asked for.

    Args:
        name: `owner/name`.
        folder: where the pipeline is put; must not exist.
        max_megabytes: a larger repository is refused before anything of it is transferred.
        pipeline: name of the class that has to load it.

    Raises:
        CheckpointError: no such repository, too large, or not a sound pipeline of this class.
    """
    if not _HUB_ID.fullmatch(name):
        raise CheckpointError(f"{name!r} is not a Hub id; one of the form owner/name is accepted.")
    revision, size = measure_snapshot(name, token=False)
    if size > max_megabytes * 2**20:
        raise CheckpointError(f"{name} has {size / 2**20:.0f} MB; at most {max_megabytes} MB are accepted.")
    with tempfile.TemporaryDirectory() as cache:
        downloaded = download_snapshot(name, revision, cache_dir=cache, token=False)
        shutil.copytree(downloaded, folder)  # the files themselves: in the cache they are links
    own = OwnCheckpoint(name, revision, folder, pipeline)
    try:
        _check_pipeline(own)
        own.load()
    except CheckpointError as error:
        raise CheckpointError(str(error).replace(str(folder), name)) from error
    return own


def _check_pipeline(own: OwnCheckpoint) -> None:
    """Send the visitor of another pipeline, which this tab does not show, to where it runs."""
    index = read_index(own.folder)
    found = index["_class_name"]
    if found == own.pipeline or found not in pipelines.__all__:
        return
    if found in TABS:
        where = f"load it in the {TABS[found]} tab."
    else:
        is_untrained = found == "SinCUTPipeline" and index.get("generator") in (None, [None, None])
        exemplar = " --exemplar other.jpg" if found == "OEFTPipeline" or is_untrained else ""
        where = (
            "in Python and on the command line it can be used, as in "
            f"`python -m pipelines translate {own.name} --image photo.jpg{exemplar}`."
        )
    raise CheckpointError(f"{own.name} holds a {found}, not a {own.pipeline}, which this tab takes: {where}")
