"""A GPU that is not there: tensors that calculate on the CPU and are held as strictly as those of a GPU."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

_aten = torch.ops.aten
_TRANSFERS = (_aten._to_copy.default,)
_READS = (_aten._local_scalar_dense.default,)  # bool(), int(), float(): each waits for the GPU


class _There(torch.Tensor):
    """A tensor on the device; ``held`` is what is in it."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, values: torch.Tensor) -> "_There":
        made = torch.Tensor._make_wrapper_subclass(
            cls, values.shape, strides=values.stride(), dtype=values.dtype, device=torch.device(PretendedDevice.name)
        )
        made.held = values
        return made

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        raise AssertionError(f"{function} after the device has gone")


class _Generator(torch.Generator):
    """Random numbers of the device."""

    def __new__(cls, device: str) -> "_Generator":
        assert device == PretendedDevice.name, "random numbers of another device"
        return super().__new__(cls)


class PretendedDevice(TorchDispatchMode):
    """While it is entered, there is a device of this name, which torch itself uses for tensors without values.

    Raises:
        AssertionError: at an operation on tensors of both devices, one that reads a single value, or a 64-bit float.
    """

    name = "meta"

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.operations = 0
        monkeypatch.setattr(torch, "Generator", _Generator)

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        keywords = dict(keywords or {})
        tensors = [leaf for leaf in tree_leaves((arguments, keywords)) if isinstance(leaf, torch.Tensor)]
        here = [tensor for tensor in tensors if not isinstance(tensor, _There)]
        asked = keywords.get("device")
        wanted = str(asked) if asked is not None else self.name if len(here) < len(tensors) else "cpu"
        if wanted == self.name or len(here) < len(tensors):
            self.operations += 1
            assert function not in _READS, f"{function}: waits for the device"
            if function not in _TRANSFERS:
                assert not here, f"{function}: {len(here)} of {len(tensors)} tensors are on the CPU"
        if asked is not None:
            keywords["device"] = "cpu"
        arguments, keywords = tree_map_only(_There, lambda tensor: tensor.held, (arguments, keywords))
        made = function(*arguments, **keywords)
        return tree_map_only(torch.Tensor, self._there, made) if wanted == self.name else made

    def _there(self, values: torch.Tensor) -> _There:
        assert values.dtype != torch.float64, "MPS has no 64-bit floats"
        return _There(values)
