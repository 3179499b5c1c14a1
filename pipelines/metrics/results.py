"""Results as JSON lines: each complete in itself, appended whole, and found again by what it measures."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def result_key(conditions: Mapping[str, Any]) -> str:
    """A name for everything that decides about a value: 16 hex digits.

    Args:
        conditions: JSON values; their order does not matter.
    """
    text = json.dumps(conditions, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class ResultsFile:
    """A file of results, one JSON object with a `key` a line.

    A line that was torn off by a crash counts as not there.

    Args:
        path: the file; it and its folder are made when the first result is appended.
    """

    def __init__(self, path: Path):
        self.path = path

    def find(self, key: str) -> dict[str, Any] | None:
        """The result of a key, None where it is not there; the last one of several."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        found = [result for result in map(_parse, lines) if result.get("key") == key]
        return found[-1] if found else None

    def append(self, result: Mapping[str, Any]) -> None:
        """Write one line, in one piece also when another process appends to the same file."""
        line = json.dumps(dict(result), allow_nan=False) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a+b", buffering=0) as file:
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    line = "\n" + line
            file.write(line.encode())
            os.fsync(file.fileno())


def _parse(line: str) -> dict[str, Any]:
    try:
        result = json.loads(line)
    except ValueError:
        return {}
    return result if isinstance(result, dict) else {}
