"""Delivered files that other programs cannot open, that lie in different frames, or whose texture is upside down."""

import time
import zipfile
from pathlib import Path

import laspy
import numpy as np
import open3d as o3d
import pycolmap
import pytest
import trimesh
from PIL import Image
from pxr import Gf, Usd, UsdGeom, UsdShade

from e2e3d_assets.reconstruction.errors import Cancelled
from e2e3d_assets.reconstruction.exporting import export_model_files
from e2e3d_assets.reconstruction.monitor import Figures, Monitor
from e2e3d_assets.reconstruction.options import ModelFilesOptions
from e2e3d_assets.reconstruction.textured_mesh import load_glb

from .delivery_scene import BOX, OFFSET, Y_UP, DeliveryScene, make_scene, page_image, textured_box

LOW, HIGH = OFFSET - BOX / 2, OFFSET + BOX / 2


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> DeliveryScene:
    return make_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def exported(scene: DeliveryScene) -> Path:
    out = scene.root / "exported"
    out.mkdir()
    export(scene, out)
    return out


def export(
    scene: DeliveryScene, out: Path, monitor: Monitor | None = None, options: ModelFilesOptions | None = None
) -> Figures:
    return export_model_files(
        scene["textured_mesh"],
        scene["dense_cloud"],
        scene["sparse_model"],
        out,
        options or ModelFilesOptions(archive=True),
        monitor or Monitor(),
    )


def test_glb_is_the_textured_mesh_and_says_y_up_in_its_node_only(scene: DeliveryScene, exported: Path):
    """A rotated copy of the vertices would no longer agree with sparse/."""
    assert (exported / "model.glb").read_bytes() == (scene["textured_mesh"] / "model.glb").read_bytes()
    loaded = trimesh.load_scene(exported / "model.glb", process=False)
    for node in loaded.graph.nodes_geometry:
        transform, name = loaded.graph[node]
        assert np.allclose(transform, Y_UP)
        assert np.all(loaded.geometry[name].bounds >= LOW - 1e-5)
        assert np.all(loaded.geometry[name].bounds <= HIGH + 1e-5)


def test_obj_has_welded_vertices_in_the_world_frame(exported: Path):
    """Vertices repeated at seams make a closed mesh fall apart; another frame makes it useless beside sparse/."""
    mesh = o3d.io.read_triangle_mesh(str(exported / "model.obj"))
    assert len(mesh.triangles) == 192
    vertices = [line for line in (exported / "model.obj").read_text().splitlines() if line.startswith("v ")]
    box = trimesh.creation.box(BOX).subdivide().subdivide()
    assert len(vertices) == len(box.vertices)
    assert np.allclose(mesh.get_min_bound(), LOW, atol=1e-5)
    assert np.allclose(mesh.get_max_bound(), HIGH, atol=1e-5)


def test_obj_shows_each_face_with_the_colours_of_the_glb(exported: Path):
    """Texture coordinates that are not flipped, or exchanged pages, show the photo upside down or elsewhere."""
    from_obj = trimesh.load_scene(exported / "model.obj", process=False)
    from_glb = trimesh.load_scene(exported / "model.glb", process=False)
    assert len(from_obj.geometry) == len(from_glb.geometry) == 2
    by_page = sorted(from_obj.geometry.values(), key=lambda mesh: mesh.visual.material.name)
    for obj, glb in zip(by_page, from_glb.geometry.values(), strict=True):
        assert np.allclose(obj.triangles, glb.triangles, atol=1e-5)
        assert np.allclose(corner_colors(obj), corner_colors(glb), atol=4)


def corner_colors(mesh: trimesh.Trimesh) -> np.ndarray:
    return mesh.visual.to_color().vertex_colors[mesh.faces][..., :3].astype(int)


def test_textures_are_the_pictures_of_the_glb(exported: Path):
    """A second lossy encoding would blur the delivered texture."""
    glb = (exported / "model.glb").read_bytes()
    for page in range(2):
        (texture,) = exported.glob(f"texture_{page}.*")
        assert texture.read_bytes() in glb
        assert np.abs(np.asarray(Image.open(texture), int) - page_image(page)).max() <= 4


def test_mesh_ply_is_closed_with_outward_normals_and_colours(exported: Path):
    """Programs that measure want one closed surface, and many read PLY only."""
    mesh = o3d.io.read_triangle_mesh(str(exported / "mesh.ply"))
    assert mesh.is_watertight()
    assert mesh.has_vertex_normals()
    assert mesh.has_vertex_colors()
    outward = np.asarray(mesh.vertices) - OFFSET
    assert np.all(np.einsum("ij,ij->i", outward, np.asarray(mesh.vertex_normals)) > 0)
    blue = np.asarray(mesh.vertex_colors)[:, 2]
    height = np.asarray(mesh.vertices)[:, 2]
    assert np.allclose(blue[height > OFFSET[2] + 0.05], 80 / 255, atol=0.02)
    assert np.allclose(blue[height < OFFSET[2] - 0.05], 200 / 255, atol=0.02)


def test_cloud_and_sparse_model_agree_with_the_mesh(scene: DeliveryScene, exported: Path):
    """All files of a run lie in one frame: sparse points and cloud lie on the delivered surface."""
    cloud = o3d.io.read_point_cloud(str(exported / "dense_cloud.ply"))
    assert len(cloud.points) == 2000
    model = pycolmap.Reconstruction(exported / "sparse")
    assert model.num_reg_images() == 8
    surface = o3d.t.geometry.RaycastingScene()
    surface.add_triangles(o3d.t.io.read_triangle_mesh(str(exported / "model.obj")))
    sparse = np.array([point.xyz for point in model.points3D.values()], np.float32)
    for points in (sparse, np.asarray(cloud.points, np.float32)):
        assert surface.compute_distance(points).numpy().max() < 1e-4


def test_usdz_holds_mesh_and_textures(exported: Path):
    """A package whose textures are missing is shown grey; one in another frame lies on its side."""
    stage = Usd.Stage.Open(str(exported / "model.usdz"))
    assert stage.GetDefaultPrim().GetName() == "model"
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/model/mesh"))
    points = np.array(mesh.GetPointsAttr().Get())
    assert np.allclose([points.min(axis=0), points.max(axis=0)], [LOW, HIGH], atol=1e-5)
    assert list(mesh.GetFaceVertexCountsAttr().Get()) == [3] * 192
    to_world = UsdGeom.XformCache().GetLocalToWorldTransform(mesh.GetPrim())
    assert np.allclose(to_world.Transform(Gf.Vec3d(0, 0, 1)), [0, 1, 0])
    faces = [len(subset.GetIndicesAttr().Get()) for subset in UsdGeom.Subset.GetAllGeomSubsets(mesh)]
    assert faces == [96, 96]
    packed = zipfile.ZipFile(exported / "model.usdz")
    assert sorted(packed.namelist()) == ["model.usdc", "texture_0.jpg", "texture_1.jpg"]
    for page in range(2):
        shader = UsdShade.Shader(stage.GetPrimAtPath(f"/model/material_{page}/texture"))
        assert shader.GetInput("file").Get().resolvedPath.endswith(f"model.usdz[texture_{page}.jpg]")


def test_usdz_textures_are_upright(exported: Path):
    """USD counts texture coordinates from the bottom."""
    stage = Usd.Stage.Open(str(exported / "model.usdz"))
    prim = stage.GetPrimAtPath("/model/mesh")
    uv = np.array(UsdGeom.PrimvarsAPI(prim).GetPrimvar("st").Get()).reshape(-1, 3, 2)
    mesh = load_glb(exported / "model.glb")
    assert np.allclose(uv[..., 0], mesh.uv[..., 0])
    assert np.allclose(uv[..., 1], 1 - mesh.uv[..., 1])


def test_laz_is_written_in_map_coordinates(exported: Path):
    """The scene has GPS: its cloud belongs on the map."""
    with laspy.open(exported / "dense_cloud.laz") as file:
        assert file.header.point_count == 2000
        crs = file.header.parse_crs()
        assert crs is not None
        assert crs.is_projected


def test_archive_holds_every_other_file(exported: Path):
    """People download one file and expect all in it."""
    with zipfile.ZipFile(exported / "model.zip") as archive:
        assert archive.testzip() is None
        inside = {info.filename: info.file_size for info in archive.infolist()}
    beside = {
        path.relative_to(exported).as_posix(): path.stat().st_size
        for path in exported.rglob("*")
        if path.is_file() and path.name not in ("model.zip", "preview.jpg")
    }
    assert inside == beside


def test_equal_inputs_give_equal_files(scene: DeliveryScene, exported: Path, tmp_path: Path):
    """A product that differs without a reason makes everything behind it stale."""
    time.sleep(2.1)  # zip archives keep times to two seconds
    export(scene, tmp_path)
    for path in exported.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / path.relative_to(exported)).read_bytes(), path.name


def test_formats_can_be_left_out(scene: DeliveryScene, tmp_path: Path):
    """They cost time and space that not everybody wants to spend."""
    export(scene, tmp_path, options=ModelFilesOptions(laz=False, usdz=False))
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".laz", ".usdz", ".zip")]


def test_levels_are_written_for_larger_models_only(tmp_path: Path):
    """A "simplified" model as large as the full one is a waste; one that cannot be opened is worse."""
    scene = make_scene(tmp_path / "scene")
    textured_box(subdivisions=4).save_glb(scene["textured_mesh"] / "model.glb")
    out = tmp_path / "out"
    out.mkdir()
    export(scene, out, options=ModelFilesOptions(levels=(2000, 3000), laz=False, usdz=False))
    assert [path.name for path in out.glob("model_*.glb")] == ["model_2k.glb"]
    level = trimesh.load_scene(out / "model_2k.glb", process=False)
    (mesh,) = level.geometry.values()
    assert len(mesh.faces) <= 2000
    assert mesh.visual.material.baseColorTexture.size == (1024, 1024)


def test_figures_count_every_file(exported: Path, scene: DeliveryScene, tmp_path: Path):
    """Operators watch sizes grow over runs."""
    figures = export(scene, tmp_path)
    assert figures["model_glb_bytes"] == (exported / "model.glb").stat().st_size
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "preview.jpg"]
    assert figures["files"] == len(written)
    assert figures["bytes"] == sum(path.stat().st_size for path in written)


def test_cancelling_stops(scene: DeliveryScene, tmp_path: Path):
    """A cancelled run must not go on writing."""
    monitor = Monitor()
    monitor.cancelled.set()
    with pytest.raises(Cancelled):
        export(scene, tmp_path, monitor)
