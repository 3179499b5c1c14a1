"""Several processes that train the same networks."""

from collections.abc import Iterable

import torch
from accelerate import Accelerator
from torch import Tensor, nn


def average_gradients(accelerator: Accelerator, parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes; with one process nothing happens.

    An adversarial step runs one network several times and others without gradients, which the wrapper of
    `DistributedDataParallel` does not allow; averaging by hand does, in a single exchange.

    Args:
        accelerator: of the run.
        parameters: in the same order on every process; those without a gradient count as zero.
    """
    if accelerator.num_processes == 1:
        return
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    flat = torch.cat([_gradient(parameter).flatten() for parameter in trained])
    flat = accelerator.reduce(flat, reduction="mean")
    for parameter, part in zip(trained, flat.split([parameter.numel() for parameter in trained]), strict=True):
        parameter.grad = part.view_as(parameter)


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
