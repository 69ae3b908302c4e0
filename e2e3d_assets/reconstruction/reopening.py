"""Delivered files read back by libraries that did not write them. What a file should hold is said elsewhere."""

from pathlib import Path

import numpy as np
import open3d
import pycolmap
import trimesh
from numpy.typing import NDArray

from .monitor import Figures

_TOLERANCE = 0.01  # of the model's size


def compare_model_files(directory: Path) -> tuple[list[str], Figures]:
    """Open the files of stage model_files and compare what they say.

    Args:
        directory: with ``model.glb``, ``model.obj``, ``mesh.ply``, ``dense_cloud.ply`` and ``sparse/``.

    Returns:
        What disagrees, in words (empty if nothing does), and the counts that were read.
    """
    disagreements: list[str] = []
    scene = trimesh.load_scene(directory / "model.glb", process=False)
    parts = [part for part in scene.geometry.values() if isinstance(part, trimesh.Trimesh)]
    glb_faces = sum(len(part.faces) for part in parts)
    mesh = open3d.io.read_triangle_mesh(directory / "mesh.ply")
    obj = open3d.io.read_triangle_mesh(directory / "model.obj")
    cloud = open3d.io.read_point_cloud(directory / "dense_cloud.ply")
    sparse = pycolmap.Reconstruction(directory / "sparse")
    seen: Figures = {
        "glb_faces": glb_faces,
        "obj_faces": len(obj.triangles),
        "ply_faces": len(mesh.triangles),
        "dense_points": len(cloud.points),
        "sparse_points": sparse.num_points3D(),
        "registered_photos": sparse.num_reg_images(),
    }
    if not (glb_faces == len(mesh.triangles) == len(obj.triangles) > 0):
        disagreements.append("model.glb, model.obj and mesh.ply differ in their number of faces")
    if not all(_has_texture(part) for part in parts):
        disagreements.append("model.glb has a part without texture")
    if not obj.has_triangle_uvs():
        disagreements.append("model.obj has no texture coordinates")
    if len(cloud.points) == 0:
        disagreements.append("dense_cloud.ply is empty")
    bounds = _bounds(np.asarray(mesh.vertices))
    limit = _TOLERANCE * float(np.ptp(bounds, axis=0).max())
    for name, vertices in (
        ("model.glb", np.vstack([part.vertices for part in parts])),
        ("model.obj", np.asarray(obj.vertices)),
    ):
        if np.abs(_bounds(vertices) - bounds).max() > limit:
            disagreements.append(f"{name} does not lie where mesh.ply lies")
    return disagreements, seen


def _bounds(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([points.min(axis=0), points.max(axis=0)])


def _has_texture(part: trimesh.Trimesh) -> bool:
    material = getattr(part.visual, "material", None)
    return getattr(material, "baseColorTexture", None) is not None
