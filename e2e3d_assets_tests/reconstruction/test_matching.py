"""Stage matches: what is compared, verified, looked at twice and refused."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
from PIL import Image

from e2e3d_assets.reconstruction.errors import BadInput
from e2e3d_assets.reconstruction.features import extract_features
from e2e3d_assets.reconstruction.matching import match_features, second_look_pairs, weakly_linked
from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.options import FeaturesOptions, MatchesOptions, PhotosOptions
from e2e3d_assets.reconstruction.photo_set import PhotoSet
from e2e3d_assets.reconstruction.photos import prepare_photos
from e2e3d_assets.reconstruction.sparse.match_document import MatchedPair, MatchesDocument, connected_groups

from .photo_files import save_photos, textured
from .sample_run import SampleRun


def pair(one: str, other: str, inliers: int) -> MatchedPair:
    return MatchedPair(photos=(one, other), matches=inliers, inliers=inliers, why=["exhaustive"])


def test_sample_photos_hang_together(sample_run: SampleRun):
    """Five photos of one thing: every pair is compared, and all hang together."""
    document = MatchesDocument.load(sample_run["matches"])
    assert len(document.pairs) == 10
    assert len(document.groups[0]) == 5
    assert sample_run.figures["matches"]["pairs_verified"] >= 7
    assert sample_run.figures["matches"]["parallax_percent"] > 2
    names = {path.name for path in sample_run["matches"].iterdir()}
    assert names == {"database.db", "matches.json", "preview.jpg"}


def test_input_database_is_untouched(sample_run: SampleRun):
    """A product that a later stage writes into no longer has the digest under which it was stored."""
    with pycolmap.Database.open(sample_run["features"] / "database.db") as database:
        assert database.num_matched_image_pairs() == 0
        assert database.num_descriptors() > 0
    for path in sample_run["features"].glob("database.db-*"):
        path.unlink()


@pytest.mark.parametrize("pairing", ["sequential", "retrieval"])
def test_other_pairings_find_fewer_pairs_of_the_right_photos(sample_run: SampleRun, tmp_path: Path, pairing: str):
    """Choosing pairs for large sets must still choose those that overlap."""
    options = MatchesOptions.model_validate({"pairing": pairing, "neighbours": 2})
    figures = match_features(sample_run["photos"], sample_run["features"], tmp_path, options, Monitor())
    assert figures["pairs_compared"] < 10
    assert figures["photos_in_largest_group"] == 5


def test_equal_input_gives_equal_matches(sample_run: SampleRun, tmp_path: Path):
    """Verification by chance would give another model at every run."""
    match_features(sample_run["photos"], sample_run["features"], tmp_path, MatchesOptions(), Monitor())
    assert MatchesDocument.load(tmp_path) == MatchesDocument.load(sample_run["matches"])


def test_photos_of_different_places(tmp_path: Path):
    """Photos that have nothing in common: the user must read that, and which two came closest."""
    for name in ("upload", "photos", "features", "matches"):
        (tmp_path / name).mkdir()
    save_photos(tmp_path / "upload", ["a b.jpg", "b.jpg", "c.jpg", "d.jpg"])
    prepare_photos(tmp_path / "upload", tmp_path / "photos", PhotosOptions(), Monitor())
    options = FeaturesOptions(max_features=1000)
    extract_features(tmp_path / "photos", tmp_path / "features", options, Monitor())
    with pytest.raises(BadInput, match=r"different places.*where 15 are needed") as caught:
        match_features(tmp_path / "photos", tmp_path / "features", tmp_path / "matches", MatchesOptions(), Monitor())
    assert caught.value.files == ("a b.jpg", "b.jpg", "c.jpg", "d.jpg")
    assert not (tmp_path / "matches" / "matches.json").exists()
    shutil.rmtree(tmp_path / "matches")


def test_plain_walls_are_called_plain(tmp_path: Path):
    """Six photos of a white wall: "different places" would send the user the wrong way."""
    for name in ("upload", "photos", "features", "matches"):
        (tmp_path / name).mkdir()
    for index in range(3):
        grey = 200 + np.random.default_rng(index).normal(0, 1, (300, 400, 3)) + np.linspace(0, 20, 400)[:, None]
        Image.fromarray(grey.astype(np.uint8)).save(tmp_path / "upload" / f"{index}.png")
    prepare_photos(tmp_path / "upload", tmp_path / "photos", PhotosOptions(), Monitor())
    extract_features(tmp_path / "photos", tmp_path / "features", FeaturesOptions(), Monitor())
    with pytest.raises(BadInput, match="too little detail"):
        match_features(tmp_path / "photos", tmp_path / "features", tmp_path / "matches", MatchesOptions(), Monitor())
    PhotoSet(
        source="photos",
        photos=[record.model_copy(update={"brightness": 0.0}) for record in PhotoSet.load(tmp_path / "photos").photos],
    ).save(tmp_path / "photos")
    with pytest.raises(BadInput, match="too dark"):
        match_features(tmp_path / "photos", tmp_path / "features", tmp_path / "matches", MatchesOptions(), Monitor())


def test_pairing_that_finds_no_pair(sample_run: SampleRun, tmp_path: Path):
    """Pairs by GPS for photos that have none: a plain message, no empty maximum."""
    options = MatchesOptions(pairing="spatial")
    with pytest.raises(BadInput, match="'spatial' there was no pair to compare"):
        match_features(sample_run["photos"], sample_run["features"], tmp_path, options, Monitor())


def test_pairs_without_a_third_photo(sample_run: SampleRun, tmp_path: Path):
    """Two photos of each thing: "share 300 where 15 are needed" would be nonsense to read."""
    options = MatchesOptions(pairing="sequential", neighbours=2)
    kept = PhotoSet.load(sample_run["photos"])
    photos = [record for record in kept.photos if record.name == kept.accepted[0].name or record is kept.accepted[1]]
    (tmp_path / "photos").mkdir()
    (tmp_path / "matches").mkdir()
    kept.model_copy(update={"photos": photos}).save(tmp_path / "photos")
    with pytest.raises(BadInput, match="but no third photo shares any with either"):
        match_features(tmp_path / "photos", sample_run["features"], tmp_path / "matches", options, Monitor())


def test_turning_on_the_spot_is_refused(tmp_path: Path):
    """A panorama gives a model of a bent wall with fine figures, and an hour of dense reconstruction of nothing."""
    for name in ("upload", "photos", "features", "matches"):
        (tmp_path / name).mkdir()
    wall = np.asarray(textured(0, 1400, 900))
    for index, angle in enumerate(np.radians([-12, -4, 4, 12])):
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        camera, wide = (np.array([[500, 0, w / 2], [0, 500, h / 2], [0, 0, 1.0]]) for w, h in ((420, 320), (1400, 900)))
        photo = cv2.warpPerspective(wall, camera @ turn @ np.linalg.inv(wide), (420, 320), flags=cv2.INTER_AREA)
        Image.fromarray(photo).save(tmp_path / "upload" / f"{index}.jpg", quality=95)
    prepare_photos(tmp_path / "upload", tmp_path / "photos", PhotosOptions(), Monitor())
    options = FeaturesOptions(max_features=1000)
    extract_features(tmp_path / "photos", tmp_path / "features", options, Monitor())
    with pytest.raises(BadInput, match="from one spot"):
        match_features(tmp_path / "photos", tmp_path / "features", tmp_path / "matches", MatchesOptions(), Monitor())


def test_groups_are_ranked_and_complete():
    """A photo that is in no group would vanish from the diagnosis."""
    pairs = [pair("a", "b", 20), pair("c", "d", 99), pair("d", "e", 15), pair("b", "c", 14)]
    assert connected_groups(list("abcdef"), pairs) == [["c", "d", "e"], ["a", "b"], ["f"]]


def test_weakly_linked_photos_are_looked_at_twice():
    """A photo with one good partner cannot be placed; one with two can, and needs no second look."""
    pairs = [pair("a", "b", 80), pair("b", "c", 60), pair("a", "c", 55), pair("c", "d", 500), pair("a", "d", 20)]
    loose = weakly_linked(list("abcd"), pairs)
    assert loose == [3]
    assert second_look_pairs(loose, [(0, 1), (0, 3), (1, 2), (2, 3)]) == [(0, 3), (2, 3)]
