"""Warnings that are missing, that cry wolf, or that name the wrong photo."""

import pytest

from e2e3d_assets.reconstruction.report_schema import (
    ControlPoint,
    CoverageSummary,
    Georeference,
    LikenessSummary,
    MeshSummary,
    PhotoRecord,
    PhotosSummary,
    QualityWarning,
    SparseSummary,
    TextureSummary,
)
from e2e3d_assets.reconstruction.reporting.advice import Ring, doubtful, judge

GOOD_SPARSE = SparseSummary(
    models=1,
    registered_photos=12,
    points=9000,
    observations=40_000,
    mean_reprojection_error_px=0.6,
    mean_track_length=4.4,
    scale="metres",
)
GOOD_MESH = MeshSummary(
    vertices=5000,
    faces=9996,
    components=1,
    watertight=True,
    boundary_edges=0,
    non_manifold_edges=0,
    extent=(1, 1, 1),
)
GOOD_TEXTURE = TextureSummary(pages=1, width=4096, height=4096, coverage=0.98)
GOOD_COVERAGE = CoverageSummary(seen_by_one=0.99, seen_by_two=0.95, seen_by_three=0.9, ground_sampling_distance=0.001)
GOOD_LIKENESS = LikenessSummary(
    photos=12, median_psnr_db=26, median_coverage=0.7, worst_photo="3.jpg", worst_psnr_db=23.5
)
FULL_RING = Ring([f"{i}.jpg" for i in range(12)], [30.0 * i for i in range(12)], 30.0)


def photo(number: int, **changes) -> PhotoRecord:
    values = {"name": f"{number}.jpg", "image": f"{number}.jpg", "fate": "registered", "sharpness": 0.7, "points": 900}
    return PhotoRecord.model_validate(values | changes)


def summary(*photos: PhotoRecord) -> PhotosSummary:
    return PhotosSummary(
        given=len(photos),
        accepted=sum(p.fate != "rejected" for p in photos),
        registered=sum(p.fate == "registered" for p in photos),
        items=list(photos),
    )


GOOD_PHOTOS = summary(*(photo(i) for i in range(12)))


def warnings(
    photos=GOOD_PHOTOS,
    sparse=GOOD_SPARSE,
    mesh=GOOD_MESH,
    texture=GOOD_TEXTURE,
    coverage=GOOD_COVERAGE,
    likeness=GOOD_LIKENESS,
    ring=FULL_RING,
    depth=80.0,
) -> dict[str, QualityWarning]:
    found = judge(photos, sparse, mesh, texture, coverage, likeness, ring, depth)
    return {warning.code: warning for warning in found}


def test_a_good_model_has_no_warnings():
    """Warnings on every model teach people to ignore them."""
    assert warnings() == {}


def test_lost_photos_are_named_with_the_place_to_photograph():
    """ "Some photos failed" does not help anybody to take better ones."""
    photos = summary(*(photo(i, fate="not_registered" if i in (4, 5) else "registered") for i in range(12)))
    (found,) = warnings(photos).values()
    assert found.severity == "warning"
    assert "2 of 12" in found.message
    assert "4.jpg, 5.jpg" in found.message
    assert "between 3.jpg and 6.jpg" in found.advice


@pytest.mark.parametrize(
    ("lost", "place"), [({0}, "near 1.jpg"), ({11}, "near 10.jpg"), (set(range(12)), "of the same place")]
)
def test_lost_photos_at_the_ends_have_one_neighbour_or_none(lost, place):
    """The first and the last photo have no photo on one side; looking for it must not fail."""
    photos = summary(*(photo(i, fate="not_registered" if i in lost else "registered") for i in range(12)))
    assert place in warnings(photos)["photos_not_registered"].advice


def test_lost_photos_are_sent_to_what_they_share_points_with():
    """Names by chance (messengers, two cameras) say nothing of who stood beside whom; nor does any order, of photos
    that show another thing."""
    lost = photo(4, fate="not_registered", nearest="9.jpg")
    photos = summary(*(lost if i == 4 else photo(i) for i in range(12)))
    assert "between 4.jpg and 9.jpg" in warnings(photos)["photos_not_registered"].advice
    photos = summary(*(photo(i, fate="not_registered" if i > 8 else "registered", model=int(i > 8)) for i in range(12)))
    assert "another set" in warnings(photos)["photos_not_registered"].advice


def test_losing_many_photos_is_serious_and_comes_first():
    """A model of half the photos is another thing than one of all."""
    photos = summary(*(photo(i, fate="not_registered" if i < 5 else "registered") for i in range(12)))
    found = list(warnings(photos, mesh=GOOD_MESH.model_copy(update={"components": 3})).values())
    assert [w.code for w in found] == ["photos_not_registered", "several_components"]
    assert found[0].severity == "serious"


def test_many_names_are_cut():
    """A message of 300 file names is not read."""
    photos = summary(*(photo(i, fate="not_registered") for i in range(300)), photo(300))
    message = warnings(photos)["photos_not_registered"].message
    assert message.endswith("0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg, 5.jpg and 294 more.")


def test_rejected_files_are_listed_with_their_reason():
    """People want to know what became of each file that they gave."""
    photos = summary(*GOOD_PHOTOS.items, photo(12, name="notes.jpg", image=None, fate="rejected", reason="no photo"))
    (found,) = warnings(photos).values()
    assert found.severity == "note"
    assert "notes.jpg: no photo" in found.message


@pytest.mark.parametrize(("error", "severity"), [(1.3, "warning"), (2.5, "serious")])
def test_bad_fit_is_told(error, severity):
    """A model that misses its photos by pixels must not look like a good one."""
    sparse = GOOD_SPARSE.model_copy(update={"mean_reprojection_error_px": error})
    assert warnings(sparse=sparse)["high_reprojection_error"].severity == severity


def test_gap_in_a_ring_names_the_photos_beside_it():
    """A side that nobody photographed becomes an invented surface."""
    ring = Ring([f"{i}.jpg" for i in range(10)], [30.0 * i for i in range(10)], 30.0)
    (found,) = warnings(ring=ring).values()
    assert "90°" in found.message
    assert "between 9.jpg and 0.jpg" in found.message


def test_photos_from_the_air_have_no_ring():
    """A drone that looks down sees all sides, whichever way it flew."""
    assert "gap_in_ring" not in warnings(
        ring=Ring([f"{i}.jpg" for i in range(10)], [30.0 * i for i in range(10)], 80.0)
    )


def test_photos_of_a_wall_have_no_ring():
    """Photos of a house front are not meant to go around it."""
    ring = Ring(["a", "b", "c", "d"], [0.0, 20.0, 45.0, 70.0], 5.0)
    assert "gap_in_ring" not in warnings(ring=ring)


def test_blurred_photos_are_those_below_their_set():
    """Sharpness depends on what is photographed: only the set itself tells what is blurred."""
    photos = summary(*(photo(i, sharpness=0.1 if i == 7 else 0.5) for i in range(12)))
    (found,) = warnings(photos).values()
    assert found.code == "blurred_photos"
    assert "1 photo is much less sharp than the others: 7.jpg" in found.message


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sparse": GOOD_SPARSE.model_copy(update={"models": 2})}, "several_models"),
        ({"sparse": GOOD_SPARSE.model_copy(update={"look_alikes": [("1.jpg", "7.jpg")]})}, "look_alike_parts"),
        ({"sparse": GOOD_SPARSE.model_copy(update={"folded": [("1.jpg", "7.jpg")]})}, "folded_sides"),
        ({"sparse": GOOD_SPARSE.model_copy(update={"mean_track_length": 2.3})}, "weak_overlap"),
        ({"sparse": GOOD_SPARSE.model_copy(update={"scale": "arbitrary"})}, "scale_unknown"),
        ({"sparse": GOOD_SPARSE.model_copy(update={"parallel_views": True})}, "parallel_views"),
        ({"photos": summary(*GOOD_PHOTOS.items, photo(12, points=20))}, "weakly_placed_photos"),
        ({"mesh": GOOD_MESH.model_copy(update={"non_manifold_edges": 4})}, "non_manifold_edges"),
        ({"mesh": GOOD_MESH.model_copy(update={"boundary_edges": 40})}, "open_surface"),
        ({"texture": GOOD_TEXTURE.model_copy(update={"coverage": 0.7})}, "colour_guessed"),
        ({"depth": 12.0}, "little_depth"),
        ({"coverage": GOOD_COVERAGE.model_copy(update={"seen_by_three": 0.4})}, "thin_coverage"),
        ({"likeness": GOOD_LIKENESS.model_copy(update={"median_psnr_db": 14.0})}, "unlike_the_photos"),
        ({"likeness": GOOD_LIKENESS.model_copy(update={"worst_psnr_db": 15.0})}, "one_photo_disagrees"),
        ({"likeness": GOOD_LIKENESS.model_copy(update={"median_coverage": 0.3})}, "much_left_out"),
    ],
)
def test_each_fault_gives_its_own_warning_only(changes, code):
    """A limit that is compared the wrong way warns always or never."""
    assert list(warnings(**changes)) == [code]


def test_unknown_figures_give_no_warning():
    """A stage that does not measure something must not be blamed for it."""
    texture = GOOD_TEXTURE.model_copy(update={"coverage": None})
    likeness = LikenessSummary(
        photos=0, median_psnr_db=None, median_coverage=None, worst_photo=None, worst_psnr_db=None
    )
    assert warnings(texture=texture, likeness=likeness, depth=None) == {}


def test_a_weakly_placed_photo_is_told_with_its_neighbours():
    """ "Add photos between them" does not say where to stand."""
    items = [photo(i, points=20 if i == 4 else 900) for i in range(12)]
    assert "between 3.jpg and 5.jpg" in warnings(summary(*items))["weakly_placed_photos"].advice


def test_photos_to_take_again_are_the_weak_and_the_blurred():
    """The plan of cameras marks them: a sharp, well-placed one in red sends people to the wrong place."""
    items = [photo(i, points=20 if i == 4 else 900, sharpness=0.2 if i == 7 else 0.7) for i in range(12)]
    assert [each.name for each in doubtful(summary(*items))] == ["4.jpg", "7.jpg"]


def test_measurements_without_a_say_are_told():
    """Somebody surveyed for a day and typed one name wrongly: a model placed by GPS instead must say so."""
    gps = Georeference(
        source="gps", latitude=46, longitude=8, altitude=0, epsg=32632, median_residual_m=1, max_residual_m=900,
        contradicting=["3.jpg"],
    )  # fmt: skip
    unused = {"control points": "none of the photos that gcp_list.txt names is in the set"}
    found = warnings(sparse=GOOD_SPARSE.model_copy(update={"georeference": gps, "unused": unused}))
    assert set(found) == {"control_points_not_used", "gps_contradicts"}
    assert "gcp_list.txt names" in found["control_points_not_used"].message
    assert "3.jpg" in found["gps_contradicts"].message
    point = ControlPoint(name="gcp4", photos=5, used=False, residual_m=1.004, offset_m=(1, 0, 0))
    surveyed = gps.model_copy(update={"source": "control points", "contradicting": [], "control_points": [point]})
    found = warnings(sparse=GOOD_SPARSE.model_copy(update={"georeference": surveyed}))
    assert "gcp4 by 1 m" in found["control_points_contradict"].message
    unused = {"gps": "the photos' GPS positions lie within 5 m of a line"}
    found = warnings(sparse=GOOD_SPARSE.model_copy(update={"scale": "arbitrary", "unused": unused}))
    assert {warning.severity for warning in found.values()} == {"note"}
