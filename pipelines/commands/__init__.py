"""The commands of `python -m pipelines`: one file each, with `add_parser` and `run`."""


class UsageError(Exception):
    """The command was called in a way that it does not accept; exit code 2."""
