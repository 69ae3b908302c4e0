"""Reading what earlier stages wrote, for the stages that deliver and report.

What belongs here: from files to arrays and plain values, in the world frame.
"""

import json
import struct
from pathlib import Path

import numpy as np
import open3d as o3d
from numpy.typing import NDArray

_SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png"}


def read_texture_files(glb: Path) -> list[tuple[str, bytes]]:
    """The pages of the atlas as they lie in ``model.glb``: (suffix with dot, bytes) of each."""
    data = glb.read_bytes()
    json_size = struct.unpack_from("<I", data, 12)[0]
    document = json.loads(data[20 : 20 + json_size])
    binary = memoryview(data)[28 + json_size :]
    files: list[tuple[str, bytes]] = []
    for image in document["images"]:
        view = document["bufferViews"][image["bufferView"]]
        picture = binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        files.append((_SUFFIXES[image["mimeType"]], bytes(picture)))
    return files


def read_cloud(directory: Path) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Positions (N, 3) and colours (N, 3) of the product ``dense_cloud``."""
    cloud = o3d.t.io.read_point_cloud(directory / "dense_cloud.ply")
    return cloud.point.positions.numpy(), cloud.point.colors.numpy()
