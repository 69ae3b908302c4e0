"""The model that people get: triangles, texture coordinates and atlas pages, and its GLB file.

What belongs here: the data and its file format. What does not: how colours are found, other file formats.
"""

import io
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_GLB_MAGIC = 0x46546C67
_JSON_CHUNK = 0x4E4F534A
_BINARY_CHUNK = 0x004E4942
_FLOAT, _UNSIGNED_INT = 5126, 5125
_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963
_LINEAR, _LINEAR_MIPMAP_LINEAR, _CLAMP_TO_EDGE = 9729, 9987, 33071
_Z_UP_TO_Y_UP = [1, 0, 0, 0, 0, 0, -1, 0, 0, 1, 0, 0, 0, 0, 0, 1]  # column-major: (x, y, z) -> (x, z, -y)
_JPEG_QUALITY = 93
UNSEEN_MATERIAL = "unseen"
"""Name, in files, of the material of faces that no photo shows."""


@dataclass(frozen=True)
class TexturedMesh:
    """Triangles that take their colours from pages.

    Attributes:
        vertices: (V, 3) float64, world frame (z up).
        faces: (F, 3) int32 indices into ``vertices``, counter-clockwise from outside.
        uv: (F, 3, 2) float32 texture coordinates of each face's corners as glTF counts them: (0, 0) is the corner of
            the page's top-left pixel, v goes down.
        face_page: (F,) int32, the page that each face takes its colour from.
        pages: (height, width, 3) uint8 sRGB pictures.
        unseen: (F,) bool, faces that no photo shows, whose colours are those of their surroundings; None where that is
            not known.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]
    uv: NDArray[np.float32]
    face_page: NDArray[np.int32]
    pages: tuple[NDArray[np.uint8], ...]
    unseen: NDArray[np.bool_] | None = None

    def by_material(self) -> Iterator[tuple[int, bool, NDArray[np.bool_]]]:
        """The page, whether no photo shows them, and which they are (F,), of the faces of each material in files."""
        unseen = np.zeros(len(self.faces), bool) if self.unseen is None else self.unseen
        for page in range(len(self.pages)):
            for hidden in (False, True):
                chosen = (self.face_page == page) & (unseen == hidden)
                if chosen.any():
                    yield page, hidden, chosen

    def save_glb(self, path: Path) -> None:
        """Write a binary glTF 2.0 file: vertices in the world frame, z up turned to y up by the root node's matrix,
        one primitive a page and another for its unseen faces, unlit (the light is in the photos), pages as JPEG.
        """
        writer = _GlbWriter()
        images: dict[int, int] = {}
        primitives = []
        for page, hidden, chosen in self.by_material():
            if page not in images:
                images[page] = writer.image(_jpeg(self.pages[page]))
            vertices, uv, faces = split_corners(self.vertices, self.faces[chosen], self.uv[chosen])
            primitives.append(
                {
                    "attributes": {"POSITION": writer.array(vertices, "VEC3"), "TEXCOORD_0": writer.array(uv, "VEC2")},
                    "indices": writer.indices(faces),
                    "material": writer.material(images[page], UNSEEN_MATERIAL if hidden else f"page_{page}"),
                }
            )
        path.write_bytes(writer.file(primitives))


def load_glb(path: Path) -> TexturedMesh:
    """Read a file that :meth:`TexturedMesh.save_glb` wrote. Corners at equal positions become one vertex again.

    Raises:
        ValueError: if the file is no such file, or cut off.
    """
    document, binary = _read_chunks(path)

    def array(index: int) -> NDArray[Any]:
        accessor = document["accessors"][index]
        view = document["bufferViews"][accessor["bufferView"]]
        kind = {_FLOAT: "<f4", _UNSIGNED_INT: "<u4"}[accessor["componentType"]]
        width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}[accessor["type"]]
        return np.frombuffer(binary, kind, accessor["count"] * width, view["byteOffset"]).reshape(-1, width)

    corners, uvs, face_page, unseen = [], [], [], []
    for primitive in document["meshes"][0]["primitives"]:
        faces = array(primitive["indices"]).reshape(-1, 3)
        corners.append(array(primitive["attributes"]["POSITION"])[faces])
        uvs.append(array(primitive["attributes"]["TEXCOORD_0"])[faces])
        material = document["materials"][primitive["material"]]
        texture = document["textures"][material["pbrMetallicRoughness"]["baseColorTexture"]["index"]]
        face_page.append(np.full(len(faces), texture["source"], np.int32))
        unseen.append(np.full(len(faces), material.get("name") == UNSEEN_MATERIAL))
    if not corners:
        raise ValueError(f"{path.name} has no triangles")
    views = [document["bufferViews"][image["bufferView"]] for image in document["images"]]
    data = [binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]] for view in views]
    vertices, faces = np.unique(np.concatenate(corners).reshape(-1, 3), axis=0, return_inverse=True)
    return TexturedMesh(
        vertices.astype(np.float64),
        faces.reshape(-1, 3).astype(np.int32),
        np.concatenate(uvs),
        np.concatenate(face_page),
        tuple(np.asarray(Image.open(io.BytesIO(each)).convert("RGB")) for each in data),
        np.concatenate(unseen),
    )


def split_corners(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], uv: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint32]]:
    """One vertex for each different pair of position and texture coordinate: (N, 3), (N, 2), (F, 3)."""
    corners = np.empty(faces.size, [("vertex", "<i4"), ("u", "<f4"), ("v", "<f4")])
    corners["vertex"], corners["u"], corners["v"] = faces.ravel(), uv[..., 0].ravel(), uv[..., 1].ravel()
    unique, inverse = np.unique(corners.view("V12"), return_inverse=True)
    unique = unique.view(corners.dtype)
    return (
        vertices[unique["vertex"]].astype(np.float32),
        np.stack([unique["u"], unique["v"]], axis=1),
        inverse.reshape(-1, 3).astype(np.uint32),
    )


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return data.getvalue()


class _GlbWriter:
    """Collects buffers and the JSON that describes them."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._views: list[dict[str, Any]] = []
        self._accessors: list[dict[str, Any]] = []
        self._images: list[dict[str, Any]] = []
        self._materials: list[dict[str, Any]] = []

    def _view(self, data: bytes, **more: Any) -> int:
        self._views.append({"buffer": 0, "byteOffset": self._size, "byteLength": len(data), **more})
        padded = data + b"\0" * (-len(data) % 4)
        self._chunks.append(padded)
        self._size += len(padded)
        return len(self._views) - 1

    def array(self, values: NDArray[np.float32], kind: str) -> int:
        """Index of the accessor of a (N, k) attribute."""
        bounds = {"min": values.min(axis=0).tolist(), "max": values.max(axis=0).tolist()}
        return self._accessor(values.tobytes(), _ARRAY_BUFFER, _FLOAT, len(values), kind, bounds)

    def indices(self, faces: NDArray[np.uint32]) -> int:
        """Index of the accessor of (F, 3) triangles."""
        return self._accessor(faces.tobytes(), _ELEMENT_ARRAY_BUFFER, _UNSIGNED_INT, faces.size, "SCALAR", {})

    def _accessor(self, data: bytes, target: int, component: int, count: int, kind: str, more: dict[str, Any]) -> int:
        view = self._view(data, target=target)
        self._accessors.append({"bufferView": view, "componentType": component, "count": count, "type": kind, **more})
        return len(self._accessors) - 1

    def image(self, jpeg: bytes) -> int:
        """Index of an embedded picture, which is that of its texture."""
        self._images.append({"bufferView": self._view(jpeg), "mimeType": "image/jpeg"})
        return len(self._images) - 1

    def material(self, texture: int, name: str) -> int:
        """Index of a material that shows a texture as it is."""
        surface = {"baseColorTexture": {"index": texture}, "metallicFactor": 0, "roughnessFactor": 1}
        self._materials.append(
            {
                "name": name,
                "pbrMetallicRoughness": surface,
                "doubleSided": True,
                "extensions": {"KHR_materials_unlit": {}},
            }
        )
        return len(self._materials) - 1

    def file(self, primitives: list[dict[str, Any]]) -> bytes:
        """The whole file."""
        document = {
            "asset": {"version": "2.0", "generator": "E2E3D"},
            "extensionsUsed": ["KHR_materials_unlit"],
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"name": "model", "mesh": 0, "matrix": _Z_UP_TO_Y_UP}],
            "meshes": [{"name": "model", "primitives": primitives}],
            "materials": self._materials,
            "samplers": [
                {
                    "magFilter": _LINEAR,
                    "minFilter": _LINEAR_MIPMAP_LINEAR,
                    "wrapS": _CLAMP_TO_EDGE,
                    "wrapT": _CLAMP_TO_EDGE,
                }
            ],
            "textures": [{"sampler": 0, "source": index} for index in range(len(self._images))],
            "images": self._images,
            "accessors": self._accessors,
            "bufferViews": self._views,
            "buffers": [{"byteLength": self._size}],
        }
        text = json.dumps(document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        total = 12 + 8 + len(text) + 8 + self._size
        return b"".join(
            [
                struct.pack("<III", _GLB_MAGIC, 2, total),
                struct.pack("<II", len(text), _JSON_CHUNK),
                text,
                struct.pack("<II", self._size, _BINARY_CHUNK),
                *self._chunks,
            ]
        )


def _read_chunks(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    try:
        magic, version, total = struct.unpack_from("<III", data)
        json_size, json_kind = struct.unpack_from("<II", data, 12)
        binary_size, binary_kind = struct.unpack_from("<II", data, 20 + json_size)
    except struct.error as error:
        raise ValueError(f"{path.name} is cut off") from error
    if (magic, version, json_kind, binary_kind) != (_GLB_MAGIC, 2, _JSON_CHUNK, _BINARY_CHUNK) or total != len(data):
        raise ValueError(f"{path.name} is not a complete binary glTF 2.0 file")
    start = 28 + json_size
    return json.loads(data[20 : 20 + json_size]), data[start : start + binary_size]
