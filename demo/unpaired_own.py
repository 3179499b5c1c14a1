"""A generator that a visitor brings as a file: converted to a pipeline folder for this visit only."""

from pathlib import Path

from demo.own_checkpoint import OwnCheckpoint
from pipelines import CUTPipeline
from pipelines.conversion.report import ConversionError
from pipelines.cut.convert import read_generator


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
    return OwnCheckpoint(name, None, folder, "CUTPipeline")
