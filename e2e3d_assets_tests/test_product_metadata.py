"""What operators see of a product in the UI."""

import dagster as dg

from e2e3d_assets.measure import Cost
from e2e3d_assets.product_metadata import describe
from e2e3d_assets.reconstruction.photo_set import PhotoRecord, PhotoSet
from e2e3d_assets.storage.artifacts import Artifact

COST = Cost(wall_seconds=1, cpu_seconds=2, peak_memory_bytes=3_000_000)


def test_picture_and_link_come_first_and_cost_last(tmp_path):
    """Prevents an operator from scrolling past twenty numbers to the one link that is wanted."""
    (tmp_path / "preview.jpg").write_bytes(b"jpeg")
    told = describe(Artifact.from_directory(tmp_path), {"faces": 7, "area": 1 / 3}, COST, "low", reused=False)
    assert list(told)[:4] == ["preview", "open", "faces", "area"]
    assert list(told)[-1] == "peak_memory_mb"
    assert told["area"] == 0.333333


def test_photos_that_are_left_out_are_listed_with_reasons(tmp_path):
    """Prevents a warning about rejected photos that only a file in a bucket explains."""
    taken = PhotoRecord(given_name="a.jpg", name="a.jpg", status="accepted", width=40, height=30, sharpness=0.5)
    left = PhotoRecord(given_name="b.txt", status="rejected", reason="no photo")
    PhotoSet(source="photos", photos=[taken, left]).save(tmp_path)
    table = describe(Artifact.from_directory(tmp_path), {}, COST, "low", reused=False)["photos"]
    assert isinstance(table, dg.TableMetadataValue)
    assert [record.data["photo"] for record in table.records] == ["b.txt", "a.jpg"]
    assert table.records[0].data["why"] == "no photo"
