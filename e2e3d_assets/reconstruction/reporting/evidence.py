"""What a report is made of, before it is judged or shown.

What belongs here: the products of the stages, read once, and what the report measures with them itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pycolmap

from ..photo_set import PhotoSet
from ..sparse.match_document import MatchesDocument
from ..sparse.sparse_document import SparseDocument
from ..stereo.views import SparseScene, read_scene
from ..textured_mesh import TexturedMesh, load_glb
from ..viewpoints import Focus, focus_of
from .fidelity import Coverage, Likeness


@dataclass(frozen=True)
class Evidence:
    """What the stages left, read once."""

    products: Mapping[str, Path]
    photos: PhotoSet
    matches: MatchesDocument
    sparse: SparseDocument
    model: pycolmap.Reconstruction
    undistorted: SparseScene
    mesh: TexturedMesh
    focus: Focus

    @property
    def images(self) -> list[pycolmap.Image]:
        """The registered photos, in the order of :class:`~e2e3d_assets.reconstruction.viewpoints.Focus`."""
        return [self.model.images[i] for i in sorted(self.model.reg_image_ids())]


@dataclass(frozen=True)
class Findings:
    """What the report measures itself."""

    coverage: Coverage
    likenesses: Sequence[Likeness]


def read_evidence(products: Mapping[str, Path]) -> Evidence:
    """Read the products: directories by asset."""
    model = pycolmap.Reconstruction(products["sparse_model"] / "sparse" / "0")
    mesh = load_glb(products["textured_mesh"] / "model.glb")
    return Evidence(
        products=products,
        photos=PhotoSet.load(products["photos"]),
        matches=MatchesDocument.load(products["matches"]),
        sparse=SparseDocument.load(products["sparse_model"]),
        model=model,
        undistorted=read_scene(products["undistorted_photos"]),
        mesh=mesh,
        focus=focus_of(model).within(mesh.vertices),
    )
