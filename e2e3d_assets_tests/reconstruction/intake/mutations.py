"""Damaged uploads for fuzzing: small files of every format that the intake reads, and ways to break them.

Everything follows from one number, so that a failure can be made again.
"""

import functools
import io
import struct
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path
from random import Random

import cv2
import numpy as np
import pillow_heif
from PIL import Image

from ..photo_files import save_dng, textured
from .panorama_room import panorama

pillow_heif.register_heif_opener()

_HUGE = (0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_SIZE_MARKS = (b"IHDR", b"\xff\xc0", b"\xff\xc2", b"ispe", b"tkhd", b"stsz", b"stco", b"mdat", b"av01", b"mp4v", b"VP8")
_TIFF_SIZES = (0x0100, 0x0101, 0x0102, 0x0111, 0x0115, 0x0116, 0x0117, 0x0142, 0x0143)


def mutated(number: int) -> tuple[str, bytes]:
    """(file name, contents) of the damaged file with this number."""
    random = Random(number)
    names = sorted(whole_files())
    name = random.choice(names)
    data = whole_files()[name]
    if name.endswith((".zip", ".tar", ".tar.gz")) and random.random() < 0.5:
        return name, _repacked(name, random)
    for _ in range(random.choice((1, 1, 2, 4))):
        data = random.choice((_flip, _flip, _cut, _splice, _other_header, _huge_number, _huge_size, _exif))(
            data, random
        )
    return name, _with_right_checksums(data) if name.endswith(".png") and random.random() < 0.8 else data


@functools.cache
def whole_files() -> dict[str, bytes]:
    """One small undamaged file for each format and way to compress, by name."""
    picture = textured(1)
    grey16 = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    alpha = picture.convert("RGBA")
    alpha.putalpha(textured(2).convert("L"))
    pictures: dict[str, tuple[Image.Image, dict]] = {
        "baseline.jpg": (picture, {}),
        "progressive.jpg": (picture, {"progressive": True, "subsampling": 0}),
        "cmyk.jpg": (picture.convert("CMYK"), {}),
        "grey.jpg": (picture.convert("L"), {}),
        "panorama.jpg": (panorama(np.zeros(3), 0, 200), {"xmp": b"<GPano>equirectangular</GPano>"}),
        "plain.png": (picture, {}),
        "grey16.png": (grey16, {}),
        "palette.png": (picture.convert("P"), {}),
        "alpha.png": (alpha, {}),
        "lossy.webp": (picture, {}),
        "lossless.webp": (alpha, {"lossless": True}),
        "raw.tif": (picture, {}),
        "grey16.tif": (grey16, {"compression": "tiff_lzw"}),
        "lzw.tif": (picture, {"compression": "tiff_lzw"}),
        "deflate.tif": (alpha, {"compression": "tiff_adobe_deflate"}),
        "jpeg.tif": (picture, {"compression": "jpeg"}),
        "plain.bmp": (picture, {}),
        "photo.heic": (picture, {}),
        "alpha.heic": (alpha, {}),
        "photo.avif": (picture, {}),
    }
    files = {name: _saved(*made, name) for name, made in pictures.items()}
    with tempfile.TemporaryDirectory() as folder:
        save_dng(Path(folder, "raw.dng"), picture, orientation=6)
        files["raw.dng"] = Path(folder, "raw.dng").read_bytes()
    files |= {name: _packed(name) for name in ("photos.zip", "photos.tar", "photos.tar.gz")}
    return files | {f"video.{suffix}": _video(suffix, code) for suffix, code in (("mp4", "mp4v"), ("avi", "MJPG"))}


def _saved(picture: Image.Image, how: dict, name: str) -> bytes:
    data = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769).update({0xA405: 28, 0x920A: 5.0, 0x9003: "2024:05:01 10:00:00"})
    exif.get_ifd(0x8825).update({1: "N", 2: (46.0, 30.0, 1.5), 3: "W", 4: (92.0, 5.0, 0.0), 5: b"\0", 6: 200.0})
    formats = {"jpg": "JPEG", "tif": "TIFF", "heic": "HEIF"}
    suffix = name.rsplit(".", 1)[1]
    picture.save(data, formats.get(suffix, suffix.upper()), exif=exif, **how)
    return data.getvalue()


def _packed(name: str, members: list[tuple[str, bytes]] | None = None) -> bytes:
    if members is None:
        members = [(f"trip/{seed}.jpg", _saved(textured(seed), {}, "x.jpg")) for seed in (5, 6)]
    data = io.BytesIO()
    if name.endswith(".zip"):
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, contents in members:
                archive.writestr(zipfile.ZipInfo(member), contents, zipfile.ZIP_DEFLATED)
    else:
        with tarfile.open(fileobj=data, mode="w:gz" if name.endswith("gz") else "w") as tar:
            for member, contents in members:
                info = tarfile.TarInfo(member)
                info.size = len(contents)
                tar.addfile(info, io.BytesIO(contents))
    return data.getvalue()


def _repacked(name: str, random: Random) -> bytes:
    """A whole archive of broken photos under odd names."""
    odd = (
        "../x.jpg",
        "/x.jpg",
        "a\\..\\b.jpg",
        "C:x.jpg",
        "\u202egpj.exe.jpg",
        "x" * 250 + ".jpg",
        "é/.jpg",
        " .jpg",
        "a//b.jpg",
    )
    pictures = sorted(set(whole_files()) - {"photos.zip", "photos.tar", "photos.tar.gz", "video.mp4", "video.avi"})
    members: dict[str, bytes] = {}
    for position in range(random.randint(1, 3)):
        inner = random.choice(pictures)
        given = random.choice((*odd, f"{position}/{inner}", f"{position}{inner}"))
        members[given] = _flip(whole_files()[inner], random)
    return _packed(name, list(members.items()))


def _video(suffix: str, code: str) -> bytes:
    wide = np.asarray(textured(0, 800, 240))[..., ::-1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"video.{suffix}")
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 10.0, (320, 240))
        for start in range(0, 400, 40):
            writer.write(np.ascontiguousarray(wide[:, start : start + 320]))
        writer.release()
        return path.read_bytes()


def _place(data: bytes, random: Random) -> int:
    """Headers break worst: half of the places are in the first kilobyte."""
    return random.randrange(min(len(data), random.choice((64, 1024, len(data), len(data))))) if data else 0


def _flip(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 3, 20)) if changed else 0):
        changed[_place(data, random)] ^= 1 << random.randrange(8)
    return bytes(changed)


def _cut(data: bytes, random: Random) -> bytes:
    return data[: _place(data, random)]


def _splice(data: bytes, random: Random) -> bytes:
    other = whole_files()[random.choice(sorted(whole_files()))]
    start, length = _place(other, random), random.choice((4, 100, 5000))
    at = _place(data, random)
    return data[:at] + other[start : start + length] + data[at + random.choice((0, length)) :]


def _other_header(data: bytes, random: Random) -> bytes:
    other = whole_files()[random.choice(sorted(whole_files()))]
    length = random.choice((2, 12, 64, 512))
    return other[:length] + data[length:]


def _huge_number(data: bytes, random: Random) -> bytes:
    at, kind = _place(data, random), random.choice(("<I", ">I", "<H", ">H"))
    number = struct.pack(kind, random.choice(_HUGE) & (0xFFFF if kind[1] == "H" else 0xFFFFFFFF))
    return data[:at] + number + data[at + len(number) :]


def _huge_size(data: bytes, random: Random) -> bytes:
    """Overwrite a field that says how large something is."""
    if data[:2] in (b"II", b"MM"):
        order = "<" if data[:2] == b"II" else ">"
        tag = struct.pack(f"{order}H", random.choice(_TIFF_SIZES))
        at = data.find(tag, 8)
        number = struct.pack(
            f"{order}HII", random.choice((3, 4, 16)), random.choice((1, 1, 0xFFFFFFF)), random.choice(_HUGE)
        )
        return data if at < 0 else data[: at + 2] + number + data[at + 12 :]
    marks = [mark for mark in _SIZE_MARKS if mark in data]
    if not marks:
        return _huge_number(data, random)
    mark = random.choice(marks)
    at = data.find(mark) + len(mark) + random.choice((-8, 0, 3, 4, 8, 84))
    size = struct.pack(">II", random.choice((0x3FFF, *_HUGE)), random.choice((0x3FFF, *_HUGE)))
    if mark in (b"\xff\xc0", b"\xff\xc2"):
        at, size = data.find(mark) + 5, struct.pack(">HH", *(random.choice((4000, 12000, 0xFFFF)) for _ in range(2)))
    return data[: max(0, at)] + size + data[max(0, at) + len(size) :]


def _exif(data: bytes, random: Random) -> bytes:
    """Damage within the EXIF alone, so that the picture itself stays whole."""
    at = data.find(b"Exif\0\0")
    if at < 0 or at + 6 >= len(data):
        return _flip(data, random)
    block = bytearray(data[at + 6 : at + 400])
    for _ in range(random.choice((1, 5, 30))):
        block[random.randrange(len(block))] = random.choice((0, 1, 0x7F, 0xFF, random.randrange(256)))
    return data[: at + 6] + bytes(block) + data[at + 400 :]


def _with_right_checksums(data: bytes) -> bytes:
    """PNG readers look at little beyond a wrong checksum."""
    out, at = bytearray(data[:8]), 8
    while at + 8 <= len(data):
        length = struct.unpack(">I", data[at : at + 4])[0]
        chunk = data[at + 4 : at + 8 + length]
        if at + 12 + length > len(data):
            break
        out += data[at : at + 4] + chunk + struct.pack(">I", zlib.crc32(chunk))
        at += 12 + length
    return bytes(out) + data[at:]
