"""Writing OBJ and MTL.

What belongs here: the two text formats. Own writer, because trimesh's repeats a vertex at every texture seam (the mesh
falls apart into charts), encodes the atlas anew and gives the material a grey of 0.4 that darkens the texture.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from ..textured_mesh import UNSEEN_MATERIAL, TexturedMesh

_ROWS_AT_ONCE = 100_000  # bounds the text that is held in memory


def write_obj(path: Path, mesh: TexturedMesh, textures: Sequence[str]) -> None:
    """Write ``path`` (.obj) and a .mtl file of the same stem; vertices stay in the world frame.

    Args:
        path: the .obj file.
        mesh: what to write.
        textures: names of the texture files beside ``path``, one for each page.
    """
    materials = path.with_suffix(".mtl")
    uv, corner_uv = np.unique(mesh.uv.reshape(-1, 2), axis=0, return_inverse=True)
    corners = np.stack([mesh.faces, corner_uv.reshape(-1, 3)], axis=2).reshape(-1, 6) + 1
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.write(f"# vertices in the frame of sparse/: right-handed, z up\nmtllib {materials.name}\n")
        _write_rows(file, "v %.7g %.7g %.7g\n", mesh.vertices)
        _write_rows(file, "vt %.7g %.7g\n", uv * [1, -1] + [0, 1])  # OBJ counts v from the bottom
        described = []
        for page, hidden, chosen in mesh.by_material():
            name = f"page_{page}_{UNSEEN_MATERIAL}" if hidden else f"page_{page}"
            described.append(_material(name, textures[page]))
            file.write(f"usemtl {name}\n")
            _write_rows(file, "f %d/%d %d/%d %d/%d\n", corners[chosen])
    materials.write_text("\n".join(described), encoding="ascii")


def _write_rows(file: TextIO, row: str, values: NDArray) -> None:
    for first in range(0, len(values), _ROWS_AT_ONCE):
        part = values[first : first + _ROWS_AT_ONCE]
        file.write((row * len(part)) % tuple(part.ravel().tolist()))


def _material(name: str, texture: str) -> str:
    """Unlit where the reader knows illumination model 0: the photos' light is in the texture already."""
    return f"newmtl {name}\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 0\nmap_Kd {texture}\n"
