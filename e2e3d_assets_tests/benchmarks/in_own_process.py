"""A process for each measurement: its peak memory is its own, and what others cached is not there."""

import multiprocessing
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def in_own_process(
    function: Callable[Parameters, Result], *arguments: Parameters.args, **more: Parameters.kwargs
) -> Result:
    """What ``function`` of a module's top level returns, called in a process that ends with it."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments, **more).result()


def peak_mb() -> float:
    """Largest resident memory of this process so far, megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
