"""Camera raw files as pictures that Pillow knows: developed by LibRaw, upright, with the EXIF that they carry.

What belongs here: raw formats only. White balance is the camera's and exposure is left as it was taken, so that the
photos of one set stay alike.
"""

import io
from contextlib import suppress
from typing import IO, Any, cast

import rawpy
from PIL import ExifTags, Image, ImageFile

SUFFIXES = frozenset((
    ".dng", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".sr2", ".raf", ".orf", ".rw2", ".rwl", ".pef", ".srw",
    ".3fr", ".fff", ".iiq", ".erf", ".kdc", ".mrw",
))  # fmt: skip
_TIFF_HEADERS = (b"II*\0", b"MM\0*")
_TURNED = (5, 6)
_SRGB_CURVE = (2.4, 12.92)


class RawPhoto(ImageFile.ImageFile):
    """A raw file; only its header is read until the pixels are wanted."""

    format = "RAW"
    format_description = "Camera raw"

    def _open(self) -> None:
        with rawpy.imread(str(self.filename)) as raw:
            sizes = raw.sizes
        self._size = (sizes.height, sizes.width) if sizes.flip in _TURNED else (sizes.width, sizes.height)
        self._mode = "RGB"

    def load(self) -> Any:
        """Develop the pixels."""
        if self._im is None:
            with rawpy.imread(str(self.filename)) as raw:
                pixels = raw.postprocess(use_camera_wb=True, no_auto_bright=True, gamma=_SRGB_CURVE, output_bps=8)
            picture = Image.fromarray(pixels)
            self.im, self._size = picture.im, picture.size
        return Image.Image.load(self)

    def getexif(self) -> Image.Exif:
        """Of the file itself where it is built like a TIFF, else of the preview in it; upright, as the pixels are."""
        exif = Image.Exif()
        with suppress(Exception):  # Pillow and LibRaw raise many types; a raw file without EXIF is a raw file
            file = cast(IO[bytes], self.fp)
            file.seek(0)
            if file.read(4) in _TIFF_HEADERS:
                file.seek(0)
                exif.load_from_fp(file)
            else:
                with rawpy.imread(str(self.filename)) as raw:
                    preview = bytes(raw.extract_thumb().data)
                exif = Image.open(io.BytesIO(preview)).getexif()
            exif.pop(ExifTags.Base.Orientation, None)
        return exif
