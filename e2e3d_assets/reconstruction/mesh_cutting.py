"""Which of a closed surface is true: what photos look through goes, and what nothing supports, except to close holes.

What belongs here: the judgement of faces by the cloud and the depth maps' votes. What does not: the votes themselves
(:mod:`.carving`), topology (:mod:`.mesh_repair`), where the surface comes from (:mod:`.meshing`).

Refuted and unsupported faces are doubtful. They are judged in patches that hang together. A small patch that is hardly
refuted closes a hole as it is. Any other patch that supported surface encloses is drawn tight like a skin and put to
the vote again: Poisson's surface bulges where it has no points, and then photos see through the bulge (the tread of a
stair, seen at a grazing angle, or the ground below a thing) although there is no opening. An opening stays one, since
a skin across it is looked through too; a wide one to the sky stays open, since depth maps know of nothing there. The
parts of a skin that no photo can see are left out but for a border: they would be invented.

What hangs together in the end is a part. A small one is stray, unless it is an island, such as a tree top above ground
that nobody saw: nearly all photos that could see an island do. Where two photos made something up, others look through
or know of nothing. Three do not make up the same: where they agree, it says little that others know nothing.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from . import mesh_repair
from .carving import Ballot, DepthView, Votes
from .native import thread_count
from .stereo.views import Camera

_NEIGHBOURS = 8
_SUPPORT_SPACINGS = 0.6  # from the cloud, relative to its local spacing, that need no further witness …
_WITNESSED_SPACINGS = 1.0  # … and that need two depth maps to agree
_SPACING_LIMIT = 4.0  # a point's local spacing counts up to so many medians: stray points support nothing
_SMALL_HOLE = 0.15  # of the distance of the nearest camera: needs no witness to be closed
_LARGEST_HOLE = 1.0  # of that distance: wider ones are left open
_MOST_REFUTED = 0.15  # of a patch that closes a hole
_LEAST_UPON = 0.3  # of a patch that closes a large hole, that some photo sees there …
_LEAST_KNOWN = 0.85  # … or that lies there or behind what photos see
_HIDDEN_REACH = 0.0025  # of that distance: so far a skin goes on where no photo sees it
_LEAST_SUPPORTED = 0.6  # of a component's area, skins left out
_SMALL_PART = 0.03  # of what the cameras see of the largest part: smaller ones are taken for stray, …
_FEWEST_PHOTOS = 1.5  # … unless so many photos see them on average: two, but for the rims, …
_LEAST_AGREEMENT = 0.75  # … and this share of those that have them in the frame and nothing before them; …
_ENOUGH_PHOTOS = 3.0  # … where so many see them, those that know of nothing there do not count


def cut(
    vertices: NDArray[np.float64],
    faces: NDArray[np.int32],
    points: NDArray[np.float64],
    ballot: Ballot,
    views: Callable[[], Iterable[DepthView]],
    cameras: Sequence[Camera],
    cell: float,
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """The true part of a closed surface, with holes closed where no photo says otherwise.

    Args:
        vertices: (V, 3), world frame.
        faces: (F, 3).
        points: (N, 3) of the cloud.
        ballot: with all photos' votes on the vertices.
        views: the photos' depth maps, to be asked again.
        cameras: of all photos.
        cell: of the surface's grid, world units.
    """
    votes = ballot.votes
    refuted = np.asarray(votes.refuted[faces].any(axis=1))
    doubtful = refuted | ~_supported(vertices, points, votes.upon, cell)[faces].all(axis=1)
    away = nearest_camera(vertices, faces, cameras)
    patches = mesh_repair.patches(vertices, faces, doubtful)
    width = patches.extent / np.maximum(patches.mean(away), 1e-12)
    small = patches.enclosed & (width <= _SMALL_HOLE)
    as_it_is = small & (patches.mean(refuted) <= _MOST_REFUTED)
    tight = patches.chosen(patches.enclosed & ~as_it_is & (width <= _LARGEST_HOLE), len(faces))
    stretched, through, upon, hidden = _asked_again(vertices, faces, tight, ballot.tolerance, views)
    seen, known = patches.mean(upon), patches.mean(upon | hidden)
    closes = patches.chosen(small | ((seen >= _LEAST_UPON) & (known >= _LEAST_KNOWN)), len(faces))
    closes &= tight & patches.chosen(patches.mean(through) <= _MOST_REFUTED, len(faces))
    closes &= ~_far_from(stretched, faces, ~doubtful | (closes & ~hidden), closes & hidden, _HIDDEN_REACH * away)
    moved = np.unique(faces[closes])
    vertices = vertices.copy()
    vertices[moved] = stretched[moved]
    keep = ~doubtful | closes | patches.chosen(as_it_is, len(faces))
    supported = np.where(closes, np.nan, ~doubtful)
    keep[keep] = _worth_keeping(vertices, faces[keep], supported[keep], votes, away[keep])
    return mesh_repair.compacted(vertices, faces[keep])


def nearest_camera(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], cameras: Sequence[Camera]
) -> NDArray[np.float64]:
    """(F,) distance of each face from the nearest camera: near and far things count by how large they look."""
    centres = np.array([camera.centre for camera in cameras])
    return cKDTree(centres).query(vertices[faces].mean(axis=1), workers=thread_count())[0]


def _supported(
    vertices: NDArray[np.float64], points: NDArray[np.float64], upon: NDArray[np.int32], cell: float
) -> NDArray[np.bool_]:
    tree = cKDTree(points)
    distance, nearest = tree.query(vertices, workers=thread_count())
    used, index = np.unique(nearest, return_inverse=True)
    spacing = tree.query(points[used], k=[_NEIGHBOURS], workers=thread_count())[0][:, 0]
    spacing = np.maximum(np.minimum(spacing, _SPACING_LIMIT * np.median(spacing)), cell)[index]
    return (distance <= _SUPPORT_SPACINGS * spacing) | ((distance <= _WITNESSED_SPACINGS * spacing) & (upon >= 2))


def _asked_again(
    vertices: NDArray[np.float64],
    faces: NDArray[np.int32],
    tight: NDArray[np.bool_],
    tolerance: float,
    views: Callable[[], Iterable[DepthView]],
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Vertices (V, 3) with some faces drawn tight; (F,) which of these photos look through, see, and have hidden."""
    through, upon, hidden = (np.zeros(len(faces), bool) for _ in range(3))
    if not tight.any():
        return vertices, through, upon, hidden
    stretched = mesh_repair.stretched(vertices, faces, tight)
    asked, corner = np.unique(faces[tight], return_inverse=True)
    corner = corner.reshape(-1, 3)
    ballot = Ballot(stretched[asked], tolerance, mesh_repair.vertex_normals(stretched[asked], corner.astype(np.int32)))
    for camera, depths in views():
        ballot.add(camera, depths)
    votes = ballot.votes
    through[tight] = votes.refuted[corner].any(axis=1)
    upon[tight] = ((votes.upon > 0) & ~votes.unknown & ~votes.refuted)[corner].all(axis=1)
    hidden[tight] = votes.hidden[corner].any(axis=1)
    return stretched, through, upon, hidden


def _far_from(
    vertices: NDArray[np.float64],
    faces: NDArray[np.int32],
    there: NDArray[np.bool_],
    asked: NDArray[np.bool_],
    reach: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """(F,) which of the faces asked for have no vertex of some other faces within their reach (F,)."""
    far = np.zeros(len(faces), bool)
    if asked.any() and there.any():
        tree = cKDTree(vertices[np.unique(faces[there])])
        far[asked] = tree.query(vertices[faces[asked]].mean(axis=1), workers=thread_count())[0] > reach[asked]
    return far


def _worth_keeping(
    vertices: NDArray[np.float64],
    faces: NDArray[np.int32],
    supported: NDArray[np.float64],
    votes: Votes,
    away: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """(F,) whether the part that a face belongs to is no bubble around stray points and no stray fragment: mostly
    supported (1, 0, or nan where that does not count), and either large, as the cameras see it, or an island.
    """
    count, part = mesh_repair.face_components(faces)
    area = np.maximum(mesh_repair.areas(vertices, faces), 1e-30)
    whole = np.bincount(part, area, count)
    judged = np.where(np.isnan(supported), 0, area)
    share = np.bincount(part, judged * (supported > 0), count) / np.maximum(np.bincount(part, judged, count), 1e-30)
    looks = np.bincount(part, area / np.maximum(away, 1e-12) ** 2, count)
    seeing, through, blank = (
        np.bincount(part, area * photos[faces].mean(axis=1), count) / whole
        for photos in (votes.upon, votes.through, votes.blank)
    )
    missing = through + np.where(seeing < _ENOUGH_PHOTOS, blank, 0)
    worth = share >= _LEAST_SUPPORTED
    large = looks >= _SMALL_PART * (looks * worth).max(initial=0)
    island = (seeing >= _FEWEST_PHOTOS) & (seeing >= _LEAST_AGREEMENT * (seeing + missing))
    return (worth & (large | island))[part]
