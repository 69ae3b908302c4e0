"""Repair of triangle meshes on plain arrays: what a clean surface is, and how one is made of an unclean one.

What belongs here: topology (components, borders, manifoldness), vectorised. What does not: where the surface comes
from. All functions take vertices (V, 3) and faces (F, 3) and return new ones; unused vertices are left out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from .monitor import Figures

Vertices = NDArray[np.float64]
Faces = NDArray[np.int32]


def compacted(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """Without unused vertices."""
    used = np.zeros(len(vertices), bool)
    used[faces] = True
    index = np.cumsum(used, dtype=np.int32) - 1
    return vertices[used], index[faces].reshape(-1, 3)


def areas(vertices: Vertices, faces: Faces) -> NDArray[np.float64]:
    """(F,) of the triangles."""
    corners = vertices[faces]
    return np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2


def vertex_normals(vertices: Vertices, faces: Faces) -> NDArray[np.float64]:
    """(V, 3) unit vectors, means of the faces around weighted by their areas; 0 at vertices without a face."""
    corners = vertices[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.stack(
        [np.bincount(faces.ravel(), np.repeat(across[:, axis], 3), len(vertices)) for axis in range(3)], axis=1
    )
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)


def stretched(vertices: Vertices, faces: Faces, chosen: NDArray[np.bool_]) -> Vertices:
    """The chosen faces (F,) drawn tight between the others like a skin: each of their inner vertices goes to the mean
    of its neighbours. What hangs on nothing stays where it is.
    """
    free = np.zeros(len(vertices), bool)
    free[faces[chosen]] = True
    free[faces[~chosen]] = False
    tails = faces[chosen].ravel().astype(np.int64)
    heads = np.roll(faces[chosen], -1, axis=1).ravel()
    edges = np.unique(np.sort(np.stack([tails, heads], axis=1), axis=1), axis=0)
    edges = np.concatenate([edges, edges[:, ::-1]])
    edges = edges[free[edges[:, 0]]]
    count, index = int(free.sum()), np.cumsum(free) - 1
    row, inner = index[edges[:, 0]], free[edges[:, 1]]
    links = coo_array((np.ones(int(inner.sum())), (row[inner], index[edges[inner, 1]])), (count, count))
    outer = np.bincount(row[~inner], minlength=count)
    parts, part = connected_components(links, directed=False)
    held = np.flatnonzero((np.bincount(part, outer, parts) > 0)[part])
    if not len(held):
        return vertices
    pull = np.stack([np.bincount(row[~inner], vertices[edges[~inner, 1], axis], count) for axis in range(3)], axis=1)
    laplacian = (diags_array(np.bincount(row, minlength=count).astype(np.float64)) - links).tocsr()
    moved = vertices.copy()
    solver = splu(laplacian[held][:, held].tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    moved[np.flatnonzero(free)[held]] = solver.solve(pull[held])
    return moved


def half_edges(faces: Faces) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """An identifier of the undirected edge of each half-edge, and the number of half-edges of each edge.

    Returns:
        edge (3 F,), in the order (0→1 of all faces, 1→2 of all, 2→0 of all), and count (E,).
    """
    tails = faces.T.astype(np.int64)
    heads = np.roll(tails, -1, axis=0)
    keys = np.minimum(tails, heads) * (faces.max(initial=0) + 1) + np.maximum(tails, heads)
    _, edge, count = np.unique(keys.ravel(), return_inverse=True, return_counts=True)
    return edge, count


def face_neighbours(faces: Faces) -> NDArray[np.int64]:
    """(N, 2) pairs of faces that share an edge of exactly two faces."""
    edge, count = half_edges(faces)
    inner = np.flatnonzero(count[edge] == 2)
    return inner[np.argsort(edge[inner], kind="stable")].reshape(-1, 2) % max(len(faces), 1)


def face_components(faces: Faces) -> tuple[int, NDArray[np.int32]]:
    """Number of parts that hang together by edges, and the part of each face."""
    pairs = face_neighbours(faces)
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (len(faces), len(faces)))
    return connected_components(graph, directed=False)


def without_small_parts(
    vertices: Vertices, faces: Faces, size: NDArray[np.float64], least: float
) -> tuple[Vertices, Faces]:
    """Without parts that are smaller than ``least``.

    Args:
        vertices, faces: the mesh.
        size: (F,) what a face counts, such as its area.
        least: of a part that stays.
    """
    if not len(faces):
        return vertices[:0], faces
    count, part = face_components(faces)
    return compacted(vertices, faces[(np.bincount(part, size, count) >= least)[part]])


@dataclass(frozen=True)
class Patches:
    """Some of a mesh's faces, grouped into patches that hang together by edges.

    Attributes:
        face: (n,) int64 the faces.
        patch: (n,) int32 the patch of each.
        extent: (P,) diagonal of each patch's bounding box.
        enclosed: (P,) whether none of its faces lies at the border of the whole mesh.
    """

    face: NDArray[np.int64]
    patch: NDArray[np.int32]
    extent: NDArray[np.float64]
    enclosed: NDArray[np.bool_]

    def mean(self, values: NDArray) -> NDArray[np.float64]:
        """(P,) means of values (F,) of the whole mesh's faces; of truth values, the share that is true."""
        count = len(self.extent)
        return np.bincount(self.patch, values[self.face], count) / np.bincount(self.patch, minlength=count)

    def chosen(self, which: NDArray[np.bool_], faces: int) -> NDArray[np.bool_]:
        """(faces,) whether each of the whole mesh's faces belongs to one of some patches (P,)."""
        found = np.zeros(faces, bool)
        found[self.face] = which[self.patch]
        return found


def patches(vertices: Vertices, faces: Faces, chosen: NDArray[np.bool_]) -> Patches:
    """Group the chosen faces (F,)."""
    face = np.flatnonzero(chosen)
    count, patch = face_components(faces[face])
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    np.minimum.at(low, patch, vertices[faces[face]].min(axis=1))
    np.maximum.at(high, patch, vertices[faces[face]].max(axis=1))
    edge, edge_count = half_edges(faces)
    at_border = np.zeros(len(faces), bool)
    at_border[np.flatnonzero(edge_count[edge] == 1) % len(faces)] = True
    enclosed = np.bincount(patch, at_border[face], count) == 0
    return Patches(face, patch, np.linalg.norm(high - low, axis=1), enclosed)


def manifold(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """Without degenerate and repeated faces, all turned alike, at most two at each edge and one fan at each vertex.

    Where two faces pass an edge in the same direction (three faces at an edge, or a face turned over), the larger
    stays. A vertex where several fans meet is split.
    """
    faces = faces[areas(vertices, faces) > 0]
    _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    faces = faces[np.sort(first)]
    while len(faces):
        tails, heads = faces.T.ravel().astype(np.int64), np.roll(faces.T, -1, axis=0).ravel()
        keys = tails * len(vertices) + heads
        order = np.lexsort((-np.tile(areas(vertices, faces), 3), keys))
        again = order[1:][keys[order[1:]] == keys[order[:-1]]]
        if not len(again):
            break
        keep = np.ones(len(faces), bool)
        keep[again % len(faces)] = False
        faces = faces[keep]
    return compacted(*_with_split_vertices(vertices, faces))


def _with_split_vertices(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """One vertex for each fan of faces: corners of neighbouring faces at a shared edge belong to one fan."""
    count = len(faces)
    if not count:
        return vertices, faces
    edge, edge_count = half_edges(faces)
    inner = np.flatnonzero(edge_count[edge] == 2)
    pairs = inner[np.argsort(edge[inner], kind="stable")].reshape(-1, 2)
    face, side = pairs % count, pairs // count
    tail = 3 * face + side
    head = 3 * face + (side + 1) % 3
    corner_vertex = faces.ravel()
    opposite = corner_vertex[tail[:, 0]] == corner_vertex[head[:, 1]]
    other_tail = np.where(opposite, head[:, 1], tail[:, 1])
    other_head = np.where(opposite, tail[:, 1], head[:, 1])
    rows = np.concatenate([tail[:, 0], head[:, 0]])
    columns = np.concatenate([other_tail, other_head])
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), (3 * count, 3 * count))
    fans, fan = connected_components(graph, directed=False)
    vertex_of_fan = np.empty(fans, np.int64)
    vertex_of_fan[fan] = corner_vertex
    return vertices[vertex_of_fan], fan.reshape(-1, 3).astype(np.int32)


def figures(vertices: Vertices, faces: Faces) -> Figures:
    """What a person wants to know of a mesh."""
    edge, count = half_edges(faces)
    directions = np.where(np.roll(faces.T, -1, axis=0) > faces.T, 1, -1).ravel()
    turned = (count == 2) & (np.bincount(edge, directions) != 0)
    boundary, crowded = int((count == 1).sum()), int((count > 2).sum())
    return {
        "vertices": len(vertices),
        "faces": len(faces),
        "components": int(face_components(faces)[0]),
        "boundary_edges": boundary,
        "non_manifold_edges": crowded,
        "watertight": boundary == 0 and crowded == 0,
        "consistently_oriented": not bool(turned.any()),
        "area": float(areas(vertices, faces).sum()),
    }
