"""Manifests and pointers: what they take, and that nothing in them changes unnoticed."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from e2e3d_assets.storage.errors import Refused
from e2e3d_assets.storage.manifest import FileEntry, Manifest, Pointer, digest_of, plain_meta

SHA = "0123456789abcdef" * 4


def _manifest(**changes) -> Manifest:
    fields = {
        "image_set": "temple",
        "asset": "photos",
        "revision": "20260102T030405000006Z-0a1b2c3d",
        "created": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        "run_id": "run-1",
        "meta": {"error_px": 0.7, "note": "größer", "nested": {"list": [1, None, True]}},
        "files": [FileEntry(path="images/a b.jpg", size=3, sha256=SHA), FileEntry(path="b", size=0, sha256=SHA[::-1])],
    }
    return Manifest.model_validate(fields | changes)


@given(st.data())
def test_every_changed_byte_is_noticed(data):
    """Prevents a product of other files, sizes or meta data than were written."""
    whole = _manifest().to_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[position]))
    with pytest.raises(ValueError, match=r"JSON|checksum|field"):
        Manifest.from_bytes(whole[:position] + bytes([other]) + whole[position + 1 :])


@given(st.data())
def test_a_cut_manifest_is_noticed(data):
    """Prevents half a manifest from being taken for a product of fewer files."""
    whole = _manifest().to_bytes()
    with pytest.raises(ValueError, match=r"JSON|checksum"):
        Manifest.from_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])


def test_what_was_written_is_read():
    """Prevents meta data that changes by being stored."""
    assert Manifest.from_bytes(_manifest().to_bytes()) == _manifest()
    pointer = Pointer(revision="r", manifest_sha256=SHA)
    assert Pointer.from_bytes(pointer.to_bytes()) == pointer


@pytest.mark.parametrize("path", ["../a", "/a", "a/../../b", "a//b", "./a", "a\\b", "a\0b", "", "a/"])
def test_path_tricks_are_refused_on_load(path):
    """Prevents a forged manifest from making a reader open files outside the product."""
    document = json.loads(_manifest().to_bytes())
    document["files"][0]["path"] = path
    del document["checksum"]
    with pytest.raises(ValidationError, match="Rename the file"):
        Manifest.model_validate(document)


def test_a_pointer_is_no_manifest():
    """Prevents a mixed-up object from being read as something else."""
    with pytest.raises(ValueError, match="bad field"):
        Manifest.from_bytes(Pointer(revision="r", manifest_sha256=SHA).to_bytes())


def test_the_digest_is_of_paths_and_contents_only():
    """Prevents timings and run ids from making equal products different versions."""
    assert _manifest().digest == _manifest(run_id="run-2", meta={"seconds": 9}, revision="other").digest
    one, two = _manifest().files
    assert digest_of([one, two]) == digest_of([two, one])
    assert digest_of([one]) != digest_of([one, two])
    assert digest_of([one.model_copy(update={"path": "c"}), two]) != digest_of([one, two])
    assert digest_of([one.model_copy(update={"sha256": SHA[::-1]}), two]) != digest_of([one, two])


def test_numbers_of_numpy_become_numbers():
    """Prevents a stage's figures from failing after its work is done."""
    assert plain_meta({"a": np.float32(0.5), "b": np.int64(3), "c": (1, 2), "d": np.bool_(True)}) == {
        "a": 0.5,
        "b": 3,
        "c": [1, 2],
        "d": True,
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_meta_that_is_not_json_is_refused(value):
    """Prevents NaN in figures, which no reader of JSON but Python takes."""
    with pytest.raises(Refused, match="not plain JSON"):
        plain_meta({"a": value})
