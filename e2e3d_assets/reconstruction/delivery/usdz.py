"""Writing USDZ, the format that iPhones, iPads and Macs show without any program to install.

What belongs here: from a textured mesh to one package. Vertices stay in the world frame; y up, which viewers expect,
is stated in the transform of the root, as in the GLB.
"""

# usd-core's modules are filled at run time: a type checker sees none of their names.
# pyright: reportAttributeAccessIssue=false

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pxr import Gf, Sdf, Usd, UsdGeom, UsdShade, UsdUtils, Vt

from ..textured_mesh import TexturedMesh

_Z_UP_TO_Y_UP = Gf.Matrix4d(1, 0, 0, 0, 0, 0, -1, 0, 0, 1, 0, 0, 0, 0, 0, 1)  # row vectors: (x, y, z) -> (x, z, -y)

_EPOCH_OF_ZIP = 315_619_200  # 1980-01-02: the package keeps its files' times, and equal models give equal packages


def write_usdz(path: Path, mesh: TexturedMesh, textures: Sequence[Path]) -> None:
    """Write a package of one mesh, with a subset of its faces for each page.

    Args:
        path: the .usdz file.
        mesh: what to write.
        textures: picture files, one for each page.

    Raises:
        OSError: if the package cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix=".usdz-", dir=path.parent) as folder:
        layer = Path(folder) / "model.usdc"
        stage = Usd.Stage.CreateNew(str(layer))
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
        UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        root = UsdGeom.Xform.Define(stage, "/model")
        root.AddTransformOp().Set(_Z_UP_TO_Y_UP)
        stage.SetDefaultPrim(root.GetPrim())
        shape = _define_mesh(stage, mesh)
        for page, texture in enumerate(textures):
            shutil.copyfile(texture, Path(folder) / texture.name)
            material = _define_material(stage, page, texture.name)
            faces = Vt.IntArray.FromNumpy(np.flatnonzero(mesh.face_page == page).astype(np.int32))
            subset = UsdGeom.Subset.CreateGeomSubset(
                shape, f"page_{page}", UsdGeom.Tokens.face, faces, UsdShade.Tokens.materialBind
            )
            UsdShade.MaterialBindingAPI.Apply(subset.GetPrim()).Bind(material)
        stage.GetRootLayer().Save()
        for file in Path(folder).iterdir():
            os.utime(file, (_EPOCH_OF_ZIP, _EPOCH_OF_ZIP))
        if not UsdUtils.CreateNewUsdzPackage(Sdf.AssetPath(str(layer)), str(path)):
            raise OSError(f"{path.name} could not be written")


def _define_mesh(stage: Usd.Stage, mesh: TexturedMesh) -> UsdGeom.Mesh:
    shape = UsdGeom.Mesh.Define(stage, "/model/mesh")
    shape.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(mesh.vertices.astype(np.float32)))
    shape.CreateFaceVertexCountsAttr(Vt.IntArray(len(mesh.faces), 3))
    shape.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(mesh.faces.reshape(-1)))
    shape.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    shape.CreateDoubleSidedAttr(True)
    low, high = mesh.vertices.min(axis=0).tolist(), mesh.vertices.max(axis=0).tolist()
    shape.CreateExtentAttr(Vt.Vec3fArray([Gf.Vec3f(*low), Gf.Vec3f(*high)]))
    uv = (mesh.uv.reshape(-1, 2) * [1, -1] + [0, 1]).astype(np.float32)  # USD counts v from the bottom
    primvars = UsdGeom.PrimvarsAPI(shape)
    primvar = primvars.CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.faceVarying)
    primvar.Set(Vt.Vec2fArray.FromNumpy(uv))
    return shape


def _define_material(stage: Usd.Stage, page: int, texture: str) -> UsdShade.Material:
    """A matt surface; the preview surface has no unlit mode."""
    path = f"/model/material_{page}"
    material = UsdShade.Material.Define(stage, path)
    surface = UsdShade.Shader.Define(stage, f"{path}/surface")
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(1.0)
    surface.CreateInput("metallic", Sdf.ValueTypeNames.Float).Set(0.0)
    reader = UsdShade.Shader.Define(stage, f"{path}/uv")
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
    picture = UsdShade.Shader.Define(stage, f"{path}/texture")
    picture.CreateIdAttr("UsdUVTexture")
    picture.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(f"./{texture}")
    picture.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set("sRGB")
    picture.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(
        reader.CreateOutput("result", Sdf.ValueTypeNames.Float2)
    )
    surface.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).ConnectToSource(
        picture.CreateOutput("rgb", Sdf.ValueTypeNames.Float3)
    )
    material.CreateSurfaceOutput().ConnectToSource(surface.CreateOutput("surface", Sdf.ValueTypeNames.Token))
    return material
