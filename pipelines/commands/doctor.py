"""`python -m pipelines doctor`: what runs here, on what, with which checkpoints, and how long a run will take."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any


def add_parser(subparsers) -> None:
    """Add the arguments of `doctor`."""
    parser = subparsers.add_parser(
        "doctor",
        help="say what runs here, and how long it will take",
        description="Say what runs here: device, memory, packages, checkpoints, where their networks go, and how long "
        "a run will take. Nothing is downloaded. Exit code: 0 unless something that is needed is broken.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--no-probe", action="store_true", help="do not measure how long a run will take")


def run(args: argparse.Namespace) -> int:
    """Print the report.

    Returns:
        0 when everything that is needed works, 1 otherwise.
    """
    report = examine(probe=not args.no_probe)
    print(json.dumps(report, indent=2) if args.json else as_text(report))
    return 1 if report["problems"] else 0


def examine(*, probe: bool) -> dict[str, Any]:
    """Examine the machine and the registered checkpoints.

    Args:
        probe: measure how long runs take, for some seconds.

    Returns:
        JSON values: `machine`, `packages`, `checkpoints`, `device_map` (one row a network), `estimates`, and
        `problems`, sentences about what is needed and broken.
    """
    from pipelines import list_checkpoints
    from pipelines.commands.inspection import find_checkpoint, machine, package_versions
    from pipelines.hub.devices import DeviceManager
    from pipelines.hub.errors import CheckpointError
    from pipelines.hub.registry import RegistryError

    problems: list[str] = []
    report: dict[str, Any] = {"packages": package_versions(), "checkpoints": [], "device_map": [], "estimates": []}
    try:
        manager = DeviceManager()
        report = {"machine": machine(manager.device)} | report
        entries = list_checkpoints()
    except (ValueError, RegistryError) as error:  # a wrong setting, or a wrong registry
        return {"machine": {}, **report, "problems": [str(error)]}
    for entry in entries:
        found = find_checkpoint(entry)
        report["checkpoints"].append(found)
        try:
            manager.add(entry.id)
        except CheckpointError as error:
            found["error"] = str(error)
            problems.append(str(error))
        if found["where"] == "broken":
            problems.append(found["error"])
    if probe:
        report["estimates"] = _estimates(report["checkpoints"], manager, problems)
    report["device_map"] = [asdict(row) for row in manager.report()]
    return {**report, "problems": problems}


def _estimates(checkpoints: list[dict[str, Any]], manager: Any, problems: list[str]) -> list[dict[str, Any]]:
    """Measure the first checkpoint of each task that is here; say of the others why not."""
    from pipelines.commands import probe
    from pipelines.hub.errors import CheckpointError

    estimators: dict[str, Any] = {
        "exemplar": probe.estimate_exemplar,
        "unpaired": probe.estimate_unpaired,
        "single-image": probe.estimate_single_image,
        "many-class": probe.estimate_many_class,
    }
    measured: set[str] = set()
    estimates = []
    for found in checkpoints:
        reason = None
        if found["error"]:
            reason = "not measured: its files are not here" if found["where"] == "to download" else found["error"]
        elif found["task"] in measured:
            reason = "not measured: see the first checkpoint of this task"
        if reason is None:
            try:
                with manager.use(found["id"]) as pipe:
                    estimates += estimators[found["task"]](found["id"], pipe)
                measured.add(found["task"])
            except CheckpointError as error:
                reason = str(error)
                problems.append(reason)
        if reason is not None:
            estimates.append(probe.Estimate(found["id"], "", None, reason))
    return [asdict(estimate) for estimate in estimates]


def as_text(report: dict[str, Any]) -> str:
    """Lay the report of `examine` out as tables."""
    facts = [(name.replace("_", " "), _value(name, value)) for name, value in report["machine"].items() if value]
    checkpoints = [
        (row["id"], row["pipeline"], row["where"], _size(row["bytes"]), "pinned" if row["pinned"] else "not pinned")
        for row in report["checkpoints"]
    ]
    networks = [
        (
            row["component"],
            row["class_name"],
            _size(row["bytes"]),
            row["device"],
            row["state"],
            " ".join(row["pipelines"]),
        )
        for row in report["device_map"]
    ]
    estimates = [
        (row["checkpoint"], row["run"], row["reason"] or f"about {_duration(row['estimated_seconds'])}")
        for row in report["estimates"]
    ]
    sections = {
        "Machine": facts,
        "Packages": [(name, version or "not installed") for name, version in report["packages"].items()],
        "Checkpoints": checkpoints,
        "Networks, their planned devices, and the checkpoints that use them": networks,
        "Estimated time of a run (256 x 256 pixels)": estimates,
        "Problems": [(problem,) for problem in report["problems"]],
    }
    return "\n\n".join(f"{title}\n{_table(rows)}" for title, rows in sections.items() if rows)


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _value(name: str, value: Any) -> str:
    if name.startswith("memory"):
        return _size(value)
    if name == "gpus":
        return ", ".join(
            f"{gpu['name']} ({_size(gpu['memory_free'])} of {_size(gpu['memory'])} free)" for gpu in value
        )
    if name == "settings":
        return ", ".join(f"{key}={setting}" for key, setting in value.items())
    return str(value)


def _size(size: int | None) -> str:
    if size is None:
        return "size unknown"
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def _duration(seconds: float) -> str:
    for unit, length in {"days": 86400, "h": 3600, "min": 60}.items():
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"
