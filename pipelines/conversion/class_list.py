"""Names of classes out of a file, for checkpoints that do not hold any."""

from __future__ import annotations

import json
from pathlib import Path

from pipelines.conversion.report import ConversionError

MAX_BYTES = 10**6
_ACCEPTED = "a JSON list, a JSON object of numbers by name, or one name a line"
_PICKLES = (".pickle", ".pkl")
_AS_JSON = "import json, pickle; json.dump(pickle.load(open('{name}', 'rb')), open('classes.json', 'w'))"


def read_class_list(path: Path) -> list[str]:
    """Read the names of classes, from number 0 on.

    Args:
        path: a text file in UTF-8: a JSON list of names, a JSON object of numbers by name, or one name a line.

    Raises:
        ConversionError: it is not there, or none of these; a pickle is never opened.
    """
    if path.suffix.lower() in _PICKLES:
        command = _AS_JSON.format(name=path.name)
        raise ConversionError(
            f"{path.name} is a pickle, which may run code and is never opened. If you trust it, make a JSON file of "
            f'it with python -c "{command}"; {_ACCEPTED} is accepted.'
        )
    if not path.is_file():
        raise ConversionError(f"There is no file {path}.")
    if path.stat().st_size > MAX_BYTES:
        raise ConversionError(f"{path.name} is larger than {MAX_BYTES / 1e6:.0f} MB: it is no list of classes.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConversionError(f"{path.name} is no text in UTF-8 that can be read.") from error
    if not text.lstrip().startswith(("[", "{")):
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"{path.name} is not valid JSON ({error}).") from error
    return content if isinstance(content, list) else _in_order(content, path.name)


def _in_order(numbers: dict, name: str) -> list[str]:
    """The names of numbers 0, 1, ..."""
    by_number = {number: key for key, number in numbers.items() if type(number) is int}
    if by_number.keys() != set(range(len(numbers))):
        raise ConversionError(
            f"{name} does not give every class its own number: 0 to {len(numbers) - 1} are accepted, each once."
        )
    return [by_number[number] for number in range(len(numbers))]
