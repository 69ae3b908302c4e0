"""The small picture that every stage leaves for people: at most 30 kB, so that it can be shown inline.

What belongs here: fitting a picture into the budget, and arranging several on one sheet. What is on a picture is each
stage's own matter.
"""

import io
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

FILE_NAME = "preview.jpg"
MAX_BYTES = 30_000
_LONG_SIDE = 640
_BACKGROUND = (24, 24, 27)


def save_preview(picture: Image.Image, out: Path) -> None:
    """Write ``preview.jpg`` into a stage's output directory, as good as 30 kB allow."""
    picture = picture.convert("RGB")
    picture.thumbnail((_LONG_SIDE, _LONG_SIDE), Image.Resampling.LANCZOS)
    while True:
        for quality in (85, 70, 55, 40):
            data = io.BytesIO()
            picture.save(data, "JPEG", quality=quality, optimize=True)
            if data.tell() <= MAX_BYTES:
                (out / FILE_NAME).write_bytes(data.getvalue())
                return
        picture = picture.resize((max(1, picture.width * 3 // 4), max(1, picture.height * 3 // 4)))


def contact_sheet(pictures: Sequence[Image.Image], width: int = _LONG_SIDE) -> Image.Image:
    """Pictures in rows of equal cells of their usual shape, in reading order, on a sheet of about 4 : 3."""
    aspect = sorted(picture.width / picture.height for picture in pictures)[len(pictures) // 2] if pictures else 1.0
    columns = min(max(1, len(pictures)), max(1, round(math.sqrt(len(pictures) * 4 / 3 / aspect))))
    rows = max(1, math.ceil(len(pictures) / columns))
    cell = max(8, width // columns)
    cell_height = max(8, round(cell / aspect))
    sheet = Image.new("RGB", (cell * columns, cell_height * rows), _BACKGROUND)
    for index, picture in enumerate(pictures):
        small = picture.convert("RGB")
        small.thumbnail((cell - 4, cell_height - 4))
        row, column = divmod(index, columns)
        sheet.paste(
            small, (column * cell + (cell - small.width) // 2, row * cell_height + (cell_height - small.height) // 2)
        )
    return sheet


def open_small(photo: Path, side: int = 256) -> Image.Image:
    """A photo reduced to fit a square, without decoding more of a JPEG than that needs."""
    with Image.open(photo) as opened:
        opened.draft("RGB", (side, side))
        opened.thumbnail((side, side))
        return opened.convert("RGB")
