"""The same search in torch, on CPU tensors against the numba kernels."""

from dataclasses import replace

import numpy as np
import pytest

from e2e3d_assets.reconstruction.stereo import devices
from e2e3d_assets.reconstruction.stereo.devices import CpuKernels, kernels_for, works
from e2e3d_assets.reconstruction.stereo.estimation import Kernels, Level, LevelEstimator, estimate
from e2e3d_assets.reconstruction.stereo.propagation import State

from .scene import Rendering
from .test_propagation import problem

torch = pytest.importorskip("torch")
from e2e3d_assets.reconstruction.stereo import torch_kernels  # noqa: E402

from .pretended_device import PretendedDevice  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small tensors: torch's threads would wait for each other most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def searched(renderings: list[Rendering], kernels: Kernels) -> State:
    levels = [Level(0.5, 4), Level(1.0, 1, 1)]
    return estimate(problem(renderings), levels, kernels, neighbour_depths=neighbours(renderings))


def neighbours(renderings: list[Rendering]) -> list[np.ndarray]:
    return [renderings[i].depth.astype(np.float32) for i in (0, 1, 3, 4)]


@pytest.mark.slow
def test_finds_the_same_surface(renderings: list[Rendering]):
    """A GPU run must give the product of a CPU run."""
    ours = searched(renderings, CpuKernels())
    theirs = searched(renderings, torch_kernels.TorchKernels("cpu"))
    confident = ours.costs < 0.3
    assert confident.mean() > 0.3
    difference = np.abs(ours.planes[..., 3] / theirs.planes[..., 3] - 1)[confident]
    assert (difference < 0.01).mean() > 0.95


@pytest.mark.parametrize("geometric", [False, True])
def test_costs_are_the_same(renderings: list[Rendering], geometric: bool):
    """Both must measure with the same rule, or thresholds mean different things."""
    found = searched(renderings, CpuKernels())
    costs = []
    for kernels in (CpuKernels(), torch_kernels.TorchKernels("cpu")):
        estimator = LevelEstimator(problem(renderings), kernels)
        if geometric:
            estimator.consult(neighbours(renderings), 0.05)
        state = State(found.planes.copy(), np.zeros_like(found.costs), found.views.copy())
        estimator.assess(state)
        costs.append(state.costs)
    assert (np.abs(costs[0] - costs[1]) < 5e-3).mean() > 0.999


def test_tensors_of_gpu_and_cpu_do_not_meet(renderings: list[Rendering], monkeypatch: pytest.MonkeyPatch):
    """What CPU tensors forgive fails on a GPU: mixed devices, values read in passing, and on MPS 64-bit floats."""
    whole = problem(renderings)
    small = replace(whole, sources=whole.sources[:2], source_photos=whole.source_photos[:2])

    monkeypatch.setattr(torch_kernels, "_ROUNDS", 1)

    def found(device: str) -> State:
        kernels = torch_kernels.TorchKernels(device)
        return estimate(small, [Level(0.25, 1, 1)], kernels, neighbour_depths=neighbours(renderings)[:2])

    expected = found("cpu")
    with PretendedDevice(monkeypatch) as device:
        theirs = found(device.name)
    assert device.operations > 1000
    for ours, its in zip(expected, theirs, strict=True):
        np.testing.assert_array_equal(ours, its)


def test_out_of_memory_takes_smaller_pieces_then_the_cpu(renderings: list[Rendering], monkeypatch: pytest.MonkeyPatch):
    """A small GPU must slow down, not fail."""
    kernels = torch_kernels.TorchKernels("cpu")
    plain = torch_kernels._improve
    sizes: list[int] = []

    def small_memory(photos, fields, pixels, search, random):
        sizes.append(len(pixels))
        if len(pixels) > limit:
            raise torch.OutOfMemoryError
        plain(photos, fields, pixels, search, random)

    monkeypatch.setattr(torch_kernels, "_improve", small_memory)
    monkeypatch.setattr(torch_kernels, "_FEWEST_PIXELS", 1 << 8)
    limit = 1 << 9
    estimate(problem(renderings), [Level(0.25, 1)], kernels)
    assert max(sizes) > limit >= sizes[-1]
    limit = 0
    estimate(problem(renderings), [Level(0.25, 1)], kernels)
    assert kernels.device.startswith("cpu, for want")


def test_absent_gpu_is_said(monkeypatch: pytest.MonkeyPatch):
    """Asking for a GPU that is not there must not silently take hours, nor must one that fails be taken."""
    from e2e3d_assets.reconstruction.errors import BadInput

    if not torch.cuda.is_available():
        with pytest.raises(BadInput, match="cuda"):
            kernels_for("cuda")
    assert isinstance(kernels_for("cpu"), CpuKernels)
    assert works("cpu")
    assert not works("meta")
    monkeypatch.setattr(devices, "_gpu", lambda: "meta")
    assert kernels_for("auto").device == "cpu, for torch cannot use meta here"
