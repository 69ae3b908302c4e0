"""The engine of dense stereo: coarse-to-fine PatchMatch on the CPU, geometric consistency, fusion, COLMAP's formats.

What belongs here: everything between an undistorted workspace and depth maps or a fused cloud. What does not: stage
bookkeeping (:mod:`..depth`, :mod:`..fusion`) and sparse reconstruction.

Read in this order: :mod:`.views` (which photos compare with which), :mod:`.packing` (photos as the kernels read them),
:mod:`.matching_cost` (how well a plane explains the photos), :mod:`.propagation` (how planes are found),
:mod:`.view_choice` (by which photos; on a GPU :mod:`.torch_kernels` and :mod:`.torch_cost`), :mod:`.estimation` (one
photo, coarse to fine), :mod:`.consistency` (what neighbours confirm), :mod:`.silhouettes` (what they confirm wrongly),
:mod:`.confirmation` (what is believed then), :mod:`.merging` (depth maps to points), :mod:`.formats` and :mod:`.ply`
(files). :mod:`.plan` and :mod:`.steps` go over all photos of a set.

Everywhere here a pixel's coordinates are integers at its centre; :func:`.views.read_scene` takes COLMAP's half-pixel
offset off once.
"""

from pathlib import Path


def warm_up() -> Path:
    """Compile all kernels, where that has not been done yet, and answer the folder that they are kept in.

    Takes about half a minute once per machine and version; an installer calls it so that the first run need not wait.
    """
    from ..monitor import Monitor
    from . import warming

    return warming.warm_up(Monitor())
