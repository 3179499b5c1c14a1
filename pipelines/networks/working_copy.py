"""A registered network in another precision, compiled or not, without a change to the network itself."""

from itertools import chain
from typing import Any, TypeVar

import torch
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from pipelines.networks.spectral_norm import fold_spectral_norm

_Network = TypeVar("_Network", bound=ModelMixin)


class WorkingCopies:
    """Copies of one network, made when they are first asked for, and anew once its weights have changed.

    Threads may ask at the same time: at worst a copy is made twice.
    """

    def __init__(self):
        self._kept: tuple[Any, dict[Any, Any]] = (None, {})  # in one piece, for threads

    def get(self, network: _Network, device: torch.device, dtype: torch.dtype, *, compiled: bool = False) -> _Network:
        """The network on `device` in `dtype`, channels-last, spectral norms divided out, for inference.

        Args:
            network: its class is made from a config; Accelerate's offload hooks on it stay behind.
            device: where to compute.
            dtype: of the weights.
            compiled: whether `forward` is compiled, anew for every size of input.
        """
        state = (network, [_stamp(weight) for weight in chain(network.parameters(), network.buffers())])
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
    config = {**network.config, "_use_default_values": []}  # diffusers lists arguments given by position there
    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced
        copy: Any = type(network).from_config(config).eval().requires_grad_(False)
    # A copy of its own: spectral norms are divided out in place, in the precision of the network.
    weights = {name: weight.to(device, copy=True) for name, weight in network.state_dict().items()}
    copy.load_state_dict(weights, assign=True)
    fold_spectral_norm(copy)
    nn.Module.to(copy, dtype, memory_format=torch.channels_last)  # diffusers' own warns of nothing
    if compiled:
        copy.compile(dynamic=False)
    return copy
