"""A registered network in another precision, compiled or not, without a change to the network itself."""

from typing import Any

import torch
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor


class WorkingCopies:
    """Copies of one network, made when they are first asked for, and anew once its weights have changed.

    Threads may ask at the same time: at worst a copy is made twice.
    """

    def __init__(self):
        self._kept: tuple[Any, dict[Any, ModelMixin]] = (None, {})  # in one piece, for threads

    def get(
        self, network: ModelMixin, device: torch.device, dtype: torch.dtype, *, compiled: bool = False
    ) -> ModelMixin:
        """The network on `device` in `dtype`, channels-last, for inference.

        Args:
            network: its class is made from a config; Accelerate's offload hooks on it stay behind.
            device: where to compute.
            dtype: of the weights.
            compiled: whether `forward` is compiled, anew for every size of input.
        """
        state = (network, [_stamp(weight) for weight in network.parameters()])
        if self._kept[0] != state:
            self._kept = (state, {})
        copies = self._kept[1]
        if (device, dtype, compiled) not in copies:
            copies[device, dtype, compiled] = _copy(network, device, dtype, compiled)
        return copies[device, dtype, compiled]


def _stamp(weight: Tensor) -> tuple[int, int]:
    """Address and version: a move changes the one, a change in place the other."""
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version


def _copy(network: ModelMixin, device: torch.device, dtype: torch.dtype, compiled: bool) -> Any:
    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced
        copy: Any = type(network).from_config(network.config).eval().requires_grad_(False)
    weights = {name: weight.to(device, dtype) for name, weight in network.state_dict().items()}
    copy.load_state_dict(weights, assign=True)
    copy.to(memory_format=torch.channels_last)
    if compiled:
        copy.compile(dynamic=False)
    return copy
