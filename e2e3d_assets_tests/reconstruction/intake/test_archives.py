"""Archives are unpacked without trusting them."""

import io
import shutil
import tarfile
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e3d_assets.reconstruction.errors import BadInput
from e2e3d_assets.reconstruction.intake import archives
from e2e3d_assets.reconstruction.monitor import Monitor


def unpack(archive: Path, tmp_path: Path) -> dict[str, bytes]:
    out = tmp_path / "out"
    out.mkdir()
    return {name: file.read_bytes() for file, name in archives.unpack(archive, out, archive.name, Monitor())}


def tar_with(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def test_tar_regular_files_only(tmp_path: Path):
    """A link in a tar would read or write files of the machine."""
    photo, link = tarfile.TarInfo("a/photo.jpg"), tarfile.TarInfo("link.jpg")
    photo.size = 10
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    assert unpack(tar_with(tmp_path / "x.tar.gz", photo, link), tmp_path) == {"a/photo.jpg": b"x" * 10}


@pytest.mark.parametrize("name", ["../outside.jpg", "/etc/outside.jpg", "a/../../b.jpg", "C:\\x.jpg", "..\\x.jpg"])
def test_paths_that_lead_outside_are_refused(tmp_path: Path, name: str):
    """Path tricks overwrite files of the machine."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(BadInput, match="leads outside"):
        unpack(tmp_path / "x.zip", tmp_path)
    assert not (tmp_path / "outside.jpg").exists()


def test_bomb_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Ten kilobytes that unpack to gigabytes fill the disk for everybody."""
    monkeypatch.setattr(archives, "_RATIO_FREE_BYTES", 2**20)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.jpg", bytes(2**25))
    with pytest.raises(BadInput, match="far more than it holds"):
        unpack(tmp_path / "x.zip", tmp_path)
    assert sum(file.stat().st_size for file in (tmp_path / "out").iterdir()) < 2**24


def test_too_many_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A million empty files exhaust the inodes."""
    monkeypatch.setattr(archives, "MAX_ENTRIES", 3)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for number in range(4):
            archive.writestr(f"{number}.jpg", b"x")
    with pytest.raises(BadInput, match="more than 3 files"):
        unpack(tmp_path / "x.zip", tmp_path)


def test_archives_in_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A phone's export is a zip of zips: unopened, its photos are lost without a word; without end, it is a bomb."""
    inner = io.BytesIO(b"")
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("DCIM/a.jpg", b"a")
    for depth in range(4):
        outer = tmp_path / f"{depth}.zip"
        with zipfile.ZipFile(outer, "w") as archive:
            archive.writestr("inner.zip", inner.getvalue())
            archive.writestr("__MACOSX/._inner.zip", b"litter")
            archive.writestr("Fotos\\b.jpg", b"b")
        inner = io.BytesIO(outer.read_bytes())
    files = unpack(tmp_path / "0.zip", tmp_path)
    assert files == {"inner.zip/DCIM/a.jpg": b"a", "__MACOSX/._inner.zip": b"litter", "Fotos/b.jpg": b"b"}
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(BadInput, match="archives in archives"):
        unpack(tmp_path / "3.zip", tmp_path)
    shutil.rmtree(tmp_path / "out")
    monkeypatch.setattr(archives, "MAX_ENTRIES", 3)
    with pytest.raises(BadInput, match="more than 3 files"):
        unpack(tmp_path / "1.zip", tmp_path)


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
def test_broken_archive_is_named(tmp_path: Path, name: str):
    """An interrupted upload must read as such, not as a stack trace."""
    (tmp_path / name).write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(BadInput, match="cannot be read") as caught:
        unpack(tmp_path / name, tmp_path)
    assert caught.value.files == (name,)


def test_members_before_the_beginning(tmp_path: Path):
    """A directory that claims to lie further on puts the members at negative places: the system refuses to go there."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.jpg", b"x" * 50)
    data = bytearray((tmp_path / "x.zip").read_bytes())
    end = data.index(b"PK\x05\x06")
    data[end + 16] += 50
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(BadInput, match="cannot be read"):
        unpack(tmp_path / "x.zip", tmp_path)


@given(
    st.lists(st.one_of(st.text(max_size=40), st.sampled_from([".", "", "a/..", "...", "/", "\\", "a\\..\\b", "c:x"])))
)
def test_any_member_name_stays_inside(names: list[str]):
    """Names in archives are written by anybody: whatever they say, files appear in the given folder only."""
    with tempfile.TemporaryDirectory() as folder:
        archive, out = Path(folder, "x.tar"), Path(folder, "out")
        out.mkdir()
        members = [tarfile.TarInfo(name.encode("utf-8", "replace").decode()) for name in names]
        with tarfile.open(archive, "w") as tar:
            for member in members:
                member.size = 1
                tar.addfile(member, io.BytesIO(b"x"))
        with suppress(BadInput):
            found = archives.unpack(archive, out, "x.tar", Monitor())
            assert all(archives.is_safe_member(name) for _, name in found)
        assert sorted(path.name for path in Path(folder).iterdir()) == ["out", "x.tar"]
        assert all(path.is_file() and path.parent == out for path in out.rglob("*"))
