"""The command line: `python -m pipelines COMMAND`."""

import argparse
import sys
from collections.abc import Sequence

from pipelines.commands import UsageError, add_prior, convert, doctor, evaluate, pin, publish, train, translate
from pipelines.hub.allocator import tune_allocator

COMMANDS = {
    "translate": translate,
    "train": train,
    "evaluate": evaluate,
    "convert": convert,
    "add-prior": add_prior,
    "pin": pin,
    "publish": publish,
    "doctor": doctor,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after `python -m pipelines`; None takes the process's own.

    Returns:
        The exit code: 0 all good, 1 something failed, 2 wrong usage, 130 stopped with Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="python -m pipelines", description="Image translation on the command line.")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS.values():
        command.add_parser(subparsers)
    args = parser.parse_args(argv)
    tune_allocator()  # before torch starts its threads
    try:
        return COMMANDS[args.command].run(args)
    except KeyboardInterrupt:
        return _fail("stopped.", 130)
    except UsageError as error:
        return _fail(str(error), 2)
    except Exception as error:
        if isinstance(error, _expected_errors()):
            return _fail(str(error), 1)
        raise


def _expected_errors() -> tuple[type[Exception], ...]:
    """What a person can set right; anything else is a bug and keeps its traceback."""
    from pipelines.base import DivergedError
    from pipelines.conversion.report import ConversionError
    from pipelines.hub.errors import CheckpointError
    from pipelines.hub.registry import RegistryError
    from pipelines.images.limits import ImageError
    from pipelines.metrics.features import MetricError
    from pipelines.training.datasets import DatasetError

    return DivergedError, ConversionError, CheckpointError, RegistryError, ImageError, MetricError, DatasetError


def _fail(message: str, code: int) -> int:
    print(f"pipelines: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
