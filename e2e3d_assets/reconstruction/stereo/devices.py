"""Which processor does the search: numba's kernels on the CPU, or torch's on a GPU.

What belongs here: the choice. What does not: either implementation. torch is imported only where a GPU is asked for or
might be there.
"""

import importlib.metadata
import importlib.util
from typing import Literal

from ..errors import BadInput
from . import propagation, view_choice
from .estimation import Kernels

Device = Literal["auto", "cpu", "cuda", "mps"]


class CpuKernels:
    """The kernels of :mod:`.propagation` and :mod:`.view_choice`, as :class:`.estimation.Kernels`."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device

    random_planes = staticmethod(propagation.random_planes)
    plane_costs = staticmethod(propagation.plane_costs)
    choose_views = staticmethod(view_choice.choose_views)
    sweep = staticmethod(propagation.sweep)


def kernels_for(device: Device) -> Kernels:
    """The kernels for a device; ``auto`` takes a GPU where torch can use one (ROCm counts as ``cuda``).

    Raises:
        BadInput: if a GPU is asked for that is not there.
    """
    if device == "cpu":
        return CpuKernels()
    found = _gpu()
    if found and device in ("auto", found) and works(found):
        from .torch_kernels import TorchKernels

        return TorchKernels(found)
    if device != "auto":
        raise BadInput(
            f"Depth maps were asked for on {device}, which torch does not find here or cannot use",
            "Install torch for this GPU, or set the option device to auto or cpu",
        )
    return CpuKernels(f"cpu, for torch cannot use {found} here" if found else "cpu")


def _gpu() -> str:
    """The GPU that torch finds, or nothing."""
    if importlib.util.find_spec("torch") is None or importlib.metadata.version("torch").endswith("+cpu"):
        return ""
    import torch

    for device, found in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())):
        if found:
            return device
    return ""


def works(device: str) -> bool:
    """Whether torch can calculate there: it knows no GPU that is too old, and others may have taken all its memory."""
    import torch

    try:
        return float(torch.ones(1, device=device) + 1) == 2
    except RuntimeError:
        return False
