"""What a pickle asks for, read from its opcodes without carrying out any of them."""

from __future__ import annotations

import pickletools
from itertools import islice
from typing import IO, Any

from pipelines.conversion.report import ConversionError

MAX_OPCODES = 200_000  # a generator has some thousands
_KINDS = ("BFloat16", "Bool", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short")
_TENSORS = {
    "collections.OrderedDict",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch.storage.UntypedStorage",
    *(f"torch.{kind}Storage" for kind in _KINDS),
}
_MEMO = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}


def check_pickle(file: IO[bytes], name: str, max_values: int, *, legacy: bool) -> None:
    """Refuse a pickle that names anything but tensors, or that declares more values than the file can hold.

    torch allocates what a pickle declares before it looks for it in the file.

    Args:
        file: opened at the first opcode; left behind the last.
        name: how the error names the file.
        max_values: how many numbers the tensors may have together.
        legacy: it is one of the format before torch 1.6, where a None follows each number of values.

    Raises:
        ConversionError: it names code, declares too much, or is no pickle.
    """
    steps: list[tuple[str, Any]] = []
    try:
        opcodes = islice(pickletools.genops(file), MAX_OPCODES)
        steps += [(opcode.name, argument) for opcode, argument, _ in opcodes if opcode.name not in _MEMO]
    except Exception as error:  # pickletools raises anything from ValueError to IndexError
        raise ConversionError(f"{name} is damaged or cut off: its list of tensors cannot be read.") from error
    if not steps or steps[-1][0] != "STOP":
        raise ConversionError(f"{name} is no network: its list of tensors takes more than {MAX_OPCODES} steps.")
    if others := sorted(_names(steps) - _TENSORS):
        raise ConversionError(
            f"{name} holds more than tensors: {', '.join(others)}. Code in a file is never run; save the network's "
            "state_dict() alone."
        )
    ends = [index for index, (code, _) in enumerate(steps) if code == "BINPERSID"]
    total = sum(_values_declared(steps[max(0, end - 3) : end], name, legacy) for end in ends)
    if total > max_values:
        raise ConversionError(
            f"{name} is damaged or made to do harm: it declares {total} values, more than it has bytes ({max_values})."
        )


def _names(steps: list[tuple[str, Any]]) -> set[str]:
    """What the pickle would import."""
    found = {argument.replace(" ", ".") for code, argument in steps if code in ("GLOBAL", "INST")}
    for index, (code, argument) in enumerate(steps):
        if code == "STACK_GLOBAL":
            found.add(".".join(str(text) for _, text in steps[max(0, index - 2) : index]))
        elif code.startswith("EXT"):
            found.add(f"extension {argument}")
    return found


def _values_declared(before: list[tuple[str, Any]], name: str, legacy: bool) -> int:
    """Values of the storage whose description ends here: (..., key, location, number of values[, None])."""
    ending = ["NONE", "TUPLE"] if legacy else ["TUPLE"]
    numbers, codes = before[: -len(ending)], [code for code, _ in before[-len(ending) :]]
    if codes == ending and numbers:
        code, values = numbers[-1]
        if code in ("BININT", "BININT1", "BININT2", "LONG1") and values >= 0:
            return values
    raise ConversionError(f"{name} is damaged or made to do harm: it describes a tensor as torch does not.")
