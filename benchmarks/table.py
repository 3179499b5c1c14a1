"""What the benchmarks that print a table share: every case runs in a process of its own, which prints its number."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

Measure = Callable[[str, str, argparse.Namespace], float | None]


def print_table(
    parser: argparse.ArgumentParser, authors: Mapping[str, float], ways: Sequence[str], measure: Measure, unit: str
) -> None:
    """Run all cases and print a row for each of the authors' numbers; or the one case that the options name.

    Args:
        parser: has the benchmark's own options.
        authors: their code's seconds, by row.
        ways: the columns beside.
        measure: row, column and options to a number; None where there is no such case.
        unit: of the numbers, in words.
    """
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=authors, default=list(authors))
    parser.add_argument("--case", nargs=2, metavar=("ROW", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(*options.case, options)))
        return
    first, width = max(map(len, authors)), max(9, *map(len, ways))
    print(" " * first, *(f"{column:>{width}}" for column in ("authors", *ways)), f"  {unit}")
    for row in options.only:
        cells = f"{authors[row]:.3f}", *(run_case(row, way) for way in ways)
        print(f"{row:{first}}", *(f"{cell:>{width}}" for cell in cells), flush=True)


def run_case(*case: str, digits: int = 3) -> str:
    """Run this benchmark again for one `--case`; one that dies (of memory, as a rule) is said to fail."""
    finished = subprocess.run(
        [sys.executable, *sys.argv, "--case", *case], capture_output=True, text=True, check=False
    )
    if finished.returncode:
        print(finished.stderr, file=sys.stderr)
        return "fails"
    value = json.loads(finished.stdout.splitlines()[-1])
    return "-" if value is None else f"{value:.{digits}f}"


def prepare() -> None:
    """Two threads, and the library's setting of the allocator; before anything is allocated."""
    import torch

    from pipelines.hub.allocator import tune_allocator

    tune_allocator()
    torch.set_num_threads(2)


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """Of `repeats` runs, after two that are not counted."""
    seconds = []
    for _ in range(repeats + 2):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[2:])
