"""Some faces of a textured mesh, with a page that holds no more than they show.

What belongs here: copying texels. Nothing is resampled.
"""

import numpy as np
from numpy.typing import NDArray

from ..mesh_repair import compacted, face_components
from ..textured_mesh import TexturedMesh, split_corners
from ..texturing.charts import rectangles
from ..texturing.packing import pack

_GUTTER = 4  # texels around each chart, as in the full atlas
_LEAST_SIDE = 64


class Excerpts:
    """Cuts one mesh into parts.

    Args:
        mesh: what is cut.
    """

    def __init__(self, mesh: TexturedMesh) -> None:
        self._mesh = mesh
        self._chart = _charts(mesh)
        sizes = np.array([page.shape[1::-1] for page in mesh.pages])
        self._pixels = mesh.uv.astype(np.float64) * sizes[mesh.face_page][:, None] - 0.5  # integers at texels' centres
        self._largest = int(sizes.max())

    def of(self, chosen: NDArray[np.int64]) -> TexturedMesh:
        """The chosen faces (n,), n > 0, with pages of their own."""
        mesh = self._mesh
        _, first, chart = np.unique(self._chart[chosen], return_index=True, return_inverse=True)
        page = mesh.face_page[chosen][first]
        pixels = self._pixels[chosen]
        charts = rectangles(chart.astype(np.int32), page, pixels, 1.0, _GUTTER)
        layout = pack(charts.size, max(self._largest + 2 * _GUTTER + 2, _LEAST_SIDE))
        canvases = tuple(np.zeros((layout.side, layout.side, 3), np.uint8) for _ in range(layout.pages))
        for origin, size, source, target, place in zip(
            charts.origin, charts.size, page, layout.page, layout.position, strict=True
        ):
            picture = mesh.pages[source]
            columns = np.clip(np.arange(origin[0], origin[0] + size[0]), 0, picture.shape[1] - 1)
            rows = np.clip(np.arange(origin[1], origin[1] + size[1]), 0, picture.shape[0] - 1)
            canvas = canvases[target][place[1] : place[1] + size[1], place[0] : place[0] + size[0]]
            canvas[:] = picture[rows[:, None], columns]
        shift = (layout.position - charts.origin)[chart]
        uv = ((pixels + shift[:, None] + 0.5) / layout.side).astype(np.float32)
        vertices, faces = compacted(mesh.vertices, mesh.faces[chosen])
        return TexturedMesh(vertices, faces, uv, layout.page[chart], canvases)


def _charts(mesh: TexturedMesh) -> NDArray[np.int64]:
    """The patch of its page (F,) that each face lies in: neighbours that share corners there as well."""
    chart = np.zeros(len(mesh.faces), np.int64)
    for page in range(len(mesh.pages)):
        here = mesh.face_page == page
        if here.any():
            _, _, faces = split_corners(mesh.vertices, mesh.faces[here], mesh.uv[here])
            chart[here] = face_components(faces.astype(np.int32))[1] + chart.max() + 1
    return chart
