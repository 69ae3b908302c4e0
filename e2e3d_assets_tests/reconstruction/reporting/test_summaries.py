"""Figures that are counted wrongly: holes that are not seen, photos that are said to be where they are not."""

import numpy as np
import pytest

from e2e3d_assets.reconstruction.matching import MatchedPair, MatchesDocument
from e2e3d_assets.reconstruction.photo_set import PhotoCamera, PhotoRecord, PhotoSet
from e2e3d_assets.reconstruction.reporting.summaries import (
    list_files,
    summarise_mesh,
    summarise_photos,
    summarise_sparse,
)
from e2e3d_assets.reconstruction.sparse.sparse_document import PhotoPose, SparseDocument
from e2e3d_assets.reconstruction.textured_mesh import TexturedMesh

from ..camera_networks import build_model, ring, strip

TETRAHEDRON = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])


def mesh_of(faces: np.ndarray) -> TexturedMesh:
    vertices = np.random.default_rng(0).normal(size=(faces.max() + 1, 3))
    uv = np.zeros((len(faces), 3, 2), np.float32)
    return TexturedMesh(vertices, faces.astype(np.int32), uv, np.zeros(len(faces), np.int32), ())


@pytest.mark.parametrize(
    ("faces", "components", "watertight", "boundary", "non_manifold"),
    [
        (TETRAHEDRON, 1, True, 0, 0),
        (TETRAHEDRON[:3], 1, False, 3, 0),
        (np.concatenate([TETRAHEDRON, TETRAHEDRON + 4]), 2, True, 0, 0),
        (np.concatenate([TETRAHEDRON, [[0, 1, 4]]]), 1, False, 2, 1),
    ],
)
def test_topology(faces, components, watertight, boundary, non_manifold):
    """A closed body, one with a hole, two bodies, and one with a fin."""
    found = summarise_mesh(mesh_of(faces))
    assert (found.components, found.watertight) == (components, watertight)
    assert (found.boundary_edges, found.non_manifold_edges) == (boundary, non_manifold)


def sparse_document(*photos: PhotoPose) -> SparseDocument:
    return SparseDocument(mapper="incremental", attempts=[], photos=list(photos), cameras=[], models=[], frame="")


def test_photo_of_another_model_has_no_place_in_this_one():
    """Its position is in the other model's frame: on the map it would be anywhere."""
    given = PhotoRecord(given_name="A.JPG", name="A.jpg", status="accepted", camera=PhotoCamera(make="X", model="X 1"))
    other = PhotoPose(
        name="A.jpg",
        registered=False,
        reason="it belongs to a separate model, sparse/1",
        model=1,
        observations=99,
        mean_reprojection_error_px=0.5,
        position=(1, 2, 3),
    )
    others = [PhotoRecord(given_name=f"{n}.JPEG", name=f"{n}.jpg", status="accepted") for n in "BC"]
    lost = PhotoPose(name="B.jpg", registered=False, reason="only one photo, A.jpg, shows the same points")
    matches = MatchesDocument(
        pairing="exhaustive",
        pairs=[
            MatchedPair(photos=("A.jpg", "B.jpg"), matches=50, inliers=40, why=["exhaustive"]),
            MatchedPair(photos=("A.jpg", "C.jpg"), matches=9, inliers=0, why=["exhaustive"]),
        ],
        groups=[],
    )
    photos = PhotoSet(source="photos", photos=[given, *others])
    document = sparse_document(other, lost, PhotoPose(name="C.jpg", registered=True))
    found, named, _ = summarise_photos(photos, matches, document).items
    assert named.reason == "only one photo, A.JPG, shows the same points"
    assert named.nearest is None  # A has no place itself
    assert found.fate == "not_registered"
    assert found.reason == "it belongs to a separate model, sparse/1"
    assert found.position is None
    assert found.points == 0
    assert found.matched_photos == 1
    assert found.camera == "X 1"


def test_files_are_listed_without_previews(tmp_path):
    """Previews are for the orchestrator, not for people who download."""
    (tmp_path / "sparse").mkdir()
    (tmp_path / "sparse" / "images.bin").write_bytes(b"12345")
    (tmp_path / "preview.jpg").write_bytes(b"1")
    assert [(file.path, file.bytes) for file in list_files([tmp_path])] == [("sparse/images.bin", 5)]


@pytest.mark.parametrize(("poses", "parallel"), [(strip(6), True), (ring(6), False)])
def test_photos_that_look_one_way(poses, parallel: bool):
    """Heights of a flight that looks straight down hang on EXIF's focal length: nobody would know."""
    assert summarise_sparse(build_model(poses, points=60), sparse_document()).parallel_views is parallel
