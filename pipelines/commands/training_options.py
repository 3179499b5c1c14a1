"""What the subcommands of `train` share: the options of every run, and options made from a trainer's config."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipelines.commands import UsageError

if TYPE_CHECKING:
    from accelerate import Accelerator

Config = TypeVar("Config")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add what every trainer has: output folder, resume, and how often to log, save and measure."""
    parser.add_argument("--output", type=Path, required=True, help="folder of the run: checkpoints, log, result")
    parser.add_argument(
        "--resume",
        default="latest",
        metavar="latest|FILE",
        help="continue the newest checkpoint of --output if it has one (default), or this checkpoint file",
    )
    parser.add_argument("--log-every", type=int, default=20, metavar="N", help="steps a line of log.jsonl")
    parser.add_argument("--checkpoint-every", type=int, default=200, metavar="N", help="steps between checkpoints")
    parser.add_argument("--evaluate-every", type=int, default=500, metavar="N", help="steps between measurements")


def run_options(args: argparse.Namespace) -> dict[str, Any]:
    """What `add_run_options` read, as arguments of `training.loop.train`."""
    return {
        "output": args.output,
        "resume": args.resume,
        "log_every": args.log_every,
        "checkpoint_every": args.checkpoint_every,
        "evaluate_every": args.evaluate_every,
        "preview_every": args.evaluate_every,
    }


def exit_code(finished: int, steps: int, accelerator: Accelerator) -> int:
    """What a trainer's `run` returns: 0 when all steps are done; else 130, and the main process says how to go on."""
    if finished >= steps:
        return 0
    if accelerator.is_main_process:
        print(f"stopped and saved at step {finished} of {steps}; the same command goes on from there")
    return 130


def add_config_options(parser: argparse.ArgumentParser, config: type, options: Mapping[str, str]) -> None:
    """Add an option for each named field of a config; its type is that of the field's default.

    Args:
        parser: where to add them.
        config: a dataclass; every field has a default.
        options: help text by field name.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    for name, text in options.items():
        default = defaults[name]
        flag, text = f"--{name.replace('_', '-')}", f"{text} (default: {_text(default)})"
        if isinstance(default, bool):
            # without a default the option is absent unless given: a preset then has its say
            action: Any = argparse.BooleanOptionalAction
            parser.add_argument(flag, action=action, default=argparse.SUPPRESS, help=text)
        else:
            metavar = "X" if isinstance(default, float) else "N" if isinstance(default, int) else "A"
            parser.add_argument(flag, type=_kind(default), default=argparse.SUPPRESS, metavar=metavar, help=text)


def config_from(args: argparse.Namespace, config: type[Config], preset: Mapping[str, Any] | None = None) -> Config:
    """The config with what the command line said, on top of a preset's values.

    Raises:
        UsageError: the config refuses a value.
    """
    names = {field.name for field in dataclasses.fields(config)}  # type: ignore[arg-type]
    given = {name: value for name, value in vars(args).items() if name in names}
    try:
        return config(**{**(preset or {}), **given})
    except ValueError as error:
        raise UsageError(str(error)) from error


def _kind(default: Any) -> Callable[[str], Any]:
    """How to read an option whose field has this default: one value, a list `a,b`, or a list of lists `a,b/c`."""
    if not isinstance(default, tuple):
        return type(default)
    item = _kind(default[0])
    separator = "/" if isinstance(default[0], tuple) else ","
    return lambda text: tuple(item(part) for part in text.split(separator))


def _text(value: Any) -> str:
    """A default as it would be typed."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, tuple):
        return str(value)
    return ("/" if isinstance(value[0], tuple) else ",").join(_text(item) for item in value)
