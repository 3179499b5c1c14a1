"""Loading converted weights: everything fits, or one report says all that does not."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

_NO_RENAMING: Mapping[str, str] = {}
_NO_CONSTANTS: Mapping[str, Tensor] = {}


class ConversionError(ValueError):
    """A file that cannot be converted; the message says in plain words why, and what is accepted."""


def load_strictly(
    module: nn.Module,
    state: Mapping[str, Tensor],
    source_name: str,
    *,
    names: Mapping[str, str] = _NO_RENAMING,
    constants: Mapping[str, Tensor] = _NO_CONSTANTS,
    own: Mapping[str, Tensor] = _NO_CONSTANTS,
) -> None:
    """Load the weights of a file into a network, all of them or none.

    Args:
        module: the network; it may be on the meta device. Its weights are replaced, in its own precision.
        state: tensors by the file's names.
        source_name: how the error names the file.
        names: the file's name for each weight of the network that is called something else there.
        constants: tensors by the file's names that the network computes itself, such as blur filters: the file must
            hold them with just these values.
        own: values by the network's names that no file has to bring.

    Raises:
        ConversionError: tensors are missing, unexpected, misshapen, no floating-point numbers, not finite, or
            constants of other values; the message lists all of them, by the file's names, with their shapes.
    """
    taken = {key: value for key, value in module.state_dict().items() if key not in own}
    targets = {names.get(key, key): value for key, value in taken.items()}
    weights = {key: state[key].to(target.dtype) for key, target in targets.items() if _fits(state.get(key), target)}
    constants_found = {key: state[key] for key, value in constants.items() if _fits(state.get(key), value)}
    expected = {**targets, **constants}
    problems = {
        "missing": [_describe(key, expected[key]) for key in expected if key not in state],
        "unexpected": [_describe(key, value) for key, value in state.items() if key not in expected],
        "misshapen": [
            f"{_describe(key, state[key])} should be {_shape(value)}"
            for key, value in expected.items()
            if key in state and state[key].shape != value.shape
        ],
        "of another type": [
            f"{_describe(key, state[key])} holds {str(state[key].dtype).removeprefix('torch.')}"
            for key in expected
            if key in state and not state[key].is_floating_point()
        ],
        "not finite": [
            f"{_describe(key, value)} holds {_count_not_finite(value)} NaN or infinite values"
            for key, value in weights.items()
            if _count_not_finite(value)
        ],
        "of other values": [
            f"{_describe(key, value)} is not the filter of this network"
            for key, value in constants_found.items()
            if not torch.allclose(value.float(), constants[key], rtol=1e-3, atol=1e-6)
        ],
    }
    if any(problems.values()):
        raise ConversionError(_report(problems, f"{source_name} does not fit {type(module).__name__}"))
    loaded = {key: weights[names.get(key, key)].clone(memory_format=torch.contiguous_format) for key in taken}
    module.load_state_dict({**loaded, **own}, assign=True)


def other_network(source_name: str, wanted: str, state: Mapping[str, Tensor]) -> str:
    """The sentence for a file that holds something else than was `wanted`, with the first names in it."""
    return f"{source_name} is no {wanted}: its tensors begin with {', '.join(list(state)[:5])}."


def check_finite(module: nn.Module, source_name: str) -> None:
    """Refuse a network with a weight that is not finite, as one that half precision cannot hold becomes.

    Raises:
        ConversionError: with the names of those weights.
    """
    names = [key for key, value in module.state_dict().items() if _count_not_finite(value)]
    if names:
        raise ConversionError(
            f"{source_name} has weights too large for half precision ({', '.join(names)}): convert it without."
        )


def _fits(value: Tensor | None, target: Tensor) -> bool:
    return value is not None and value.shape == target.shape and value.is_floating_point()


def _count_not_finite(value: Tensor) -> int:
    return int((~torch.isfinite(value)).sum())


def _report(problems: Mapping[str, list[str]], sentence: str) -> str:
    counts = ", ".join(f"{len(lines)} {kind}" for kind, lines in problems.items() if lines)
    lines = [f"  {kind}: {line}" for kind, lines in problems.items() for line in lines]
    return "\n".join([f"{sentence}: {counts}.", *lines])


def _describe(key: str, value: Tensor) -> str:
    return f"{key} {_shape(value)}"


def _shape(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "scalar"
