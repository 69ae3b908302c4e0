"""What every upload store must do, wherever it keeps its objects."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e3d_assets.storage.errors import Refused
from e2e3d_assets.storage.uploads import COMPLETE, OPTIONS, UploadStore

PHOTOS = {"IMG 1.jpg": b"1" * 1000, "day 2/IMG 1.jpg": b"2", "Über/写真.JPG": b"3"}


def folder(root: Path, files: dict[str, bytes]) -> Path:
    """A local folder of photos."""
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
        os.utime(root / name, ns=(1, 1_700_000_000_123_456_789))
    return root


def photos_in(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name not in (COMPLETE, OPTIONS)
    }


class UploadContract:
    """Subclasses give the fixture ``open_uploads``."""

    @pytest.fixture
    def uploads(self, open_uploads: Callable[[], UploadStore]) -> UploadStore:
        return open_uploads()

    def test_a_folder_that_was_put_is_read(self, uploads, tmp_path):
        """Prevents lost photos, and photos of equal names in different folders from replacing each other."""
        told = []
        uploads.replace("temple", folder(tmp_path / "own", PHOTOS), lambda done, total: told.append((done, total)))
        upload = uploads.upload("temple")
        assert {file.path: file.size for file in upload.files} == {name: len(data) for name, data in PHOTOS.items()}
        assert photos_in(upload.path()) == PHOTOS
        assert told[-1] == (1002, 1002)
        assert told == sorted(told)
        assert upload.marker is not None, "the marker is written"
        assert uploads.image_sets() == ["temple"]

    def test_one_file_is_an_upload(self, uploads, tmp_path):
        """Prevents a video or an archive from needing a folder of its own."""
        video = folder(tmp_path, {"walk.mp4": b"v"}) / "walk.mp4"
        assert photos_in(uploads.replace("walk", video).path()) == {"walk.mp4": b"v"}

    def test_hidden_files_are_left(self, uploads, tmp_path):
        """Prevents the leavings of file managers and version control from being uploaded."""
        source = folder(tmp_path / "own", {"a.jpg": b"1", ".DS_Store": b"2", ".git/config": b"3"})
        assert [file.path for file in uploads.replace("temple", source).files] == ["a.jpg"]

    def test_replacing_removes_what_is_not_there_any_more(self, uploads, tmp_path):
        """Prevents photos of an earlier try from ending in the model."""
        uploads.replace("temple", folder(tmp_path / "first", PHOTOS))
        uploads.replace("temple", folder(tmp_path / "second", {"new.jpg": b"4", "IMG 1.jpg": b"5"}))
        assert photos_in(uploads.upload("temple").path()) == {"new.jpg": b"4", "IMG 1.jpg": b"5"}

    def test_the_same_folder_is_the_same_upload(self, uploads, tmp_path):
        """Prevents a second run for photos that were put twice."""
        source = folder(tmp_path / "own", PHOTOS)
        assert uploads.replace("temple", source).digest == uploads.replace("temple", source).digest

    def test_other_photos_are_another_upload(self, uploads, tmp_path):
        """Prevents changed, renamed, added or removed photos from being ignored."""
        versions = [
            PHOTOS,
            PHOTOS | {"IMG 1.jpg": b"2" * 1001},
            PHOTOS | {"more.jpg": b"4"},
            {name: data for name, data in PHOTOS.items() if name != "IMG 1.jpg"},
            {name.upper(): data for name, data in PHOTOS.items()},
        ]
        digests = {
            uploads.replace("temple", folder(tmp_path / str(n), files)).digest for n, files in enumerate(versions)
        }
        assert len(digests) == len(versions)

    def test_marker_and_options_are_no_photos(self, uploads, tmp_path):
        """Prevents the marker from counting as a photo; options ask for other work with the same photos."""
        plain = uploads.replace("temple", folder(tmp_path / "own", PHOTOS))
        uploads.objects.put_bytes(f"temple/{OPTIONS}", b'{"quality": "high"}')
        upload = uploads.upload("temple")
        assert upload.digest == plain.digest
        assert upload.fingerprint != plain.fingerprint
        assert uploads.read_options(upload) == b'{"quality": "high"}'
        uploads.objects.delete([f"temple/{COMPLETE}"])
        unmarked = uploads.upload("temple")
        assert (unmarked.marker, unmarked.fingerprint) == (None, upload.fingerprint)

    def test_an_absent_set_is_an_upload_without_files(self, uploads):
        """Prevents a set without photos from ending in another message than a set with too few."""
        upload = uploads.upload("nothing")
        assert (upload.files, upload.marker, upload.modified) == ((), None, None)
        assert list(upload.path().iterdir()) == []
        assert uploads.image_sets() == []

    def test_a_survey_tells_what_each_listing_tells(self, uploads, tmp_path):
        """Prevents the sensor from seeing other sets, or other versions of them, than the run that it starts."""
        for name, data in {"one": b"1", "two": b"2"}.items():
            uploads.replace(name, folder(tmp_path / name, {"a.jpg": data, "b/c.jpg": data}))
        assert uploads.survey() == {name: uploads.upload(name) for name in ("one", "two")}

    def test_deleting_leaves_the_others(self, uploads, tmp_path):
        """Prevents the loss of a set whose name begins alike."""
        for name in ("temple", "temple-2"):
            uploads.replace(name, folder(tmp_path / name, PHOTOS))
        uploads.delete("temple")
        assert uploads.image_sets() == ["temple-2"]

    @pytest.mark.parametrize("name", ["..", "a/b", "", "/etc"])
    def test_an_image_set_cannot_lead_elsewhere(self, uploads, tmp_path, name):
        """Prevents a key from reaching files outside the uploads."""
        with pytest.raises(Refused):
            uploads.upload(name)
        with pytest.raises(Refused):
            uploads.replace(name, folder(tmp_path / "own", PHOTOS))

    def test_huge_options_are_refused(self, uploads):
        """Prevents a mistaken or hostile options file from filling the memory of the sensor."""
        uploads.objects.put_bytes(f"temple/{OPTIONS}", b" " * 1_000_001)
        with pytest.raises(Refused, match="no options file"):
            uploads.read_options(uploads.upload("temple"))
