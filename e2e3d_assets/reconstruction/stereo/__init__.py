"""The engine of dense stereo: coarse-to-fine PatchMatch on the CPU, geometric consistency, fusion, COLMAP's formats.

What belongs here: everything between an undistorted workspace and depth maps or a fused cloud. What does not: stage
bookkeeping (:mod:`..depth`, :mod:`..fusion`) and sparse reconstruction.

Read in this order: :mod:`.views` (which photos compare with which), :mod:`.packing` (photos as the kernels read them),
:mod:`.matching_cost` (how well a plane explains the photos), :mod:`.propagation` (how planes are found),
:mod:`.estimation` (one photo, coarse to fine), :mod:`.consistency` (what neighbours confirm), :mod:`.merging`
(depth maps to points), :mod:`.formats` and :mod:`.ply` (files).

Everywhere here a pixel's coordinates are integers at its centre; :func:`.views.scaled_intrinsics` takes COLMAP's
half-pixel offset off once.
"""
