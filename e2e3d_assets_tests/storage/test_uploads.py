"""Uploads in a folder: the contract of every upload store, and what only a disk can do to it."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from e2e3d_assets.storage.errors import Refused
from e2e3d_assets.storage.uploads import UploadStore

from .upload_contract import PHOTOS, UploadContract, folder


class TestOnDisk(UploadContract):
    @pytest.fixture
    def open_uploads(self, tmp_path: Path):
        return lambda: UploadStore(str(tmp_path / "uploads"), tmp_path / "scratch")

    def test_photos_are_read_in_place(self, uploads, tmp_path):
        """Prevents a second copy of all photos on a laptop's disk."""
        assert uploads.replace("temple", folder(tmp_path / "own", PHOTOS)).path() == tmp_path / "uploads" / "temple"

    def test_photos_are_copied_into_the_uploads(self, uploads, tmp_path):
        """Prevents an upload that changes when its owner edits a photo in place."""
        source = folder(tmp_path / "own", {"a.jpg": b"1"})
        upload = uploads.replace("temple", source)
        with (source / "a.jpg").open("r+b") as file:
            file.write(b"2")
        assert (upload.path() / "a.jpg").read_bytes() == b"1"

    def test_a_photo_changed_in_place_is_another_upload(self, uploads, tmp_path):
        """Prevents an edited photo of the same size from being ignored."""
        before = uploads.replace("temple", folder(tmp_path / "own", {"a.jpg": b"1"}))
        (tmp_path / "uploads" / "temple" / "a.jpg").write_bytes(b"2")
        assert uploads.upload("temple").digest != before.digest

    @pytest.mark.parametrize("target", ["/etc/passwd", "/etc"])
    def test_links_that_lead_out_are_refused(self, uploads, tmp_path, target):
        """Prevents an uploader with access to the folder from having the server read its own files."""
        folder(tmp_path / "uploads" / "temple", PHOTOS)
        (tmp_path / "uploads" / "temple" / "link").symlink_to(target)
        with pytest.raises(Refused, match="link"):
            uploads.upload("temple")

    def test_an_upload_that_is_itself_a_link_is_read(self, uploads, tmp_path):
        """Prevents operators who keep photos elsewhere from having to copy them; only they can make such links."""
        (tmp_path / "uploads").mkdir()
        (tmp_path / "uploads" / "temple").symlink_to(folder(tmp_path / "own", PHOTOS))
        assert len(uploads.upload("temple").files) == 3
        assert uploads.image_sets() == ["temple"]

    def test_a_copy_that_keeps_times_has_just_come(self, uploads, tmp_path):
        """Prevents a folder that is being copied in with its old times from looking quiet, and thus complete."""
        before = datetime.now(UTC) - timedelta(seconds=1)
        upload = uploads.replace("temple", folder(tmp_path / "own", PHOTOS))
        assert min(file.modified for file in upload.files) > before

    @pytest.mark.parametrize("name", [b"back\\slash.jpg", b"\xff.jpg", b"new\nline.jpg"])
    def test_files_of_strange_names_can_be_removed(self, uploads, tmp_path, name):
        """Prevents a set that can neither be run nor deleted, and whose listing stops those of all others."""
        folder(tmp_path / "uploads" / "temple", PHOTOS)
        without = uploads.upload("temple").digest
        with open(os.path.join(os.fsencode(tmp_path), b"uploads/temple", name), "wb"):
            pass
        assert uploads.survey()["temple"].digest != without
        with pytest.raises(Refused, match="Rename the file"):
            uploads.upload("temple").path()
        uploads.delete("temple")
        assert uploads.image_sets() == []

    def test_no_folder_yet(self, uploads):
        """Prevents the first start on a new machine from failing."""
        assert uploads.image_sets() == []
        assert uploads.survey() == {}


def test_a_name_that_is_not_unicode_is_refused_by_name(tmp_path):
    """Prevents a file from an old disk from ending in a stack trace, or from being left out silently."""
    (tmp_path / "own").mkdir()
    with open(os.path.join(os.fsencode(tmp_path), b"own", b"\xff.jpg"), "wb"):
        pass
    with pytest.raises(Refused, match=r"udcff.*is not valid Unicode\. Rename"):
        UploadStore(str(tmp_path / "uploads")).replace("temple", tmp_path / "own")
