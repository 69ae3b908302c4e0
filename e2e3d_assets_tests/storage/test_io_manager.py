"""The IO manager in real runs with an ephemeral instance."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import dagster as dg
import pytest

from e2e3d_assets.storage.artifacts import Artifact
from e2e3d_assets.storage.io_manager import FILES_PATH, ArtifactIOManager
from e2e3d_assets.storage.store import ArtifactStore

from .store_contract import make

image_sets = dg.DynamicPartitionsDefinition(name="image_sets")


class Pipeline:
    """Two assets; what the first makes can be set, what the second saw is kept."""

    def __init__(self, root: Path, url: str) -> None:
        self.product: Artifact | None = make(root / "first", {"a.txt": b"one", "b.txt": b"two"}, accepted=2)
        self.seen: list[str] = []
        self.manager = ArtifactIOManager(url=url, scratch=str(root / "scratch"))
        self.store = ArtifactStore(url, root / "scratch")

        stage = partial(
            dg.asset,
            partitions_def=image_sets,
            io_manager_key="artifacts",
            retry_policy=dg.RetryPolicy(max_retries=1, delay=0),
        )

        @stage()
        def photos():
            return self.product

        @stage()
        def features(photos: Artifact):
            self.seen.append(photos.path("a.txt").read_text())
            return make(root / f"second-{len(self.seen)}", {"text": photos.path("a.txt").read_bytes()})

        self.assets = [photos, features]

    def run(self, instance: dg.DagsterInstance, *names: str) -> dg.ExecuteInProcessResult:
        return dg.materialize(
            self.assets,
            selection=list(names) or None,
            partition_key="banana",
            instance=instance,
            resources={"artifacts": self.manager},
            raise_on_error=False,
        )


@pytest.fixture
def pipeline(tmp_path) -> Pipeline:
    return Pipeline(tmp_path, str(tmp_path / "store"))


def _outcome(result: dg.ExecuteInProcessResult) -> tuple[str, int]:
    """What the failed step says, and how often it was tried again."""
    (event,) = result.filter_events(lambda event: event.is_step_failure)
    told = event.step_failure_data.user_failure_data
    retries = result.filter_events(lambda event: event.is_step_up_for_retry)
    return told.description if told else event.step_failure_data.error.to_string(), len(retries)


def test_products_go_from_asset_to_asset(pipeline, instance):
    """Prevents a run whose stages do not get what the stages before have made."""
    result = pipeline.run(instance)
    assert result.success
    assert pipeline.seen == ["one"]
    assert pipeline.store.latest("banana", "features").path("text").read_bytes() == b"one"
    assert pipeline.store.latest("banana", "features").manifest.run_id == result.run_id


def test_a_later_run_reads_what_an_earlier_one_made(pipeline, instance):
    """Prevents re-computation of everything for one stage."""
    pipeline.run(instance, "photos")
    assert pipeline.run(instance, "features").success


@pytest.mark.parametrize(("files", "page"), [({"viewer.html": b"<p>"}, "viewer.html"), ({"a": b"", "b": b""}, "")])
def test_materializations_lead_to_their_files(pipeline, instance, tmp_path, files, page):
    """Prevents a product that can be seen only by who finds its folder or bucket."""
    pipeline.product = make(tmp_path / "product", files)
    (event,) = pipeline.run(instance, "photos").asset_materializations_for_node("photos")
    revision = pipeline.store.latest("banana", "photos").revision
    assert event.metadata["open"].value == f"{FILES_PATH}/banana/photos/{revision}/{page}"


def test_materializations_carry_numbers(pipeline, instance):
    """Prevents operators from having no plot of what their sets take."""
    (event,) = pipeline.run(instance, "photos").asset_materializations_for_node("photos")
    metadata = {name: entry.value for name, entry in event.metadata.items()}
    latest = pipeline.store.latest("banana", "photos")
    assert (metadata["files"], metadata["bytes"]) == (2, 6)
    assert (metadata["revision"], metadata["digest"], metadata["uri"]) == (latest.revision, latest.digest, latest.uri)


def test_a_product_that_is_committed_is_not_written_again(pipeline, instance):
    """Prevents stages that re-use their latest product from filling the store."""
    pipeline.run(instance, "photos")
    pipeline.product = pipeline.store.latest("banana", "photos")
    assert pipeline.run(instance, "photos").success
    assert len(pipeline.store.revisions("banana", "photos")) == 1


def test_a_missing_product_names_what_to_materialize(pipeline, instance):
    """Prevents retries, and a stack trace in place of the one thing to do."""
    told, retries = _outcome(pipeline.run(instance, "features"))
    assert "Materialize photos for banana first" in told
    assert retries == 0


@pytest.mark.parametrize("file", ["latest.json", "a.txt"])
def test_a_damaged_product_is_not_retried(pipeline, instance, file):
    """Prevents retries that must fail again, also of what is found only when the asset asks for the file."""
    pipeline.run(instance, "photos")
    revision = pipeline.store.latest_revision("banana", "photos")
    key = "banana/photos/latest.json" if file == "latest.json" else f"banana/photos/{revision}/{file}"
    pipeline.store.objects.put_bytes(key, b"{}")
    told, retries = _outcome(pipeline.run(instance, "features"))
    assert f"{file} of photos, image set banana" in told
    assert retries == 0


def test_what_is_no_artifact_is_refused(pipeline, instance):
    """Prevents an asset that forgot to return its product from being materialized with nothing."""
    pipeline.product = "a string"
    assert _outcome(pipeline.run(instance, "photos")) == ("photos gave no Artifact.", 0)


def test_a_store_that_does_not_answer_is_tried_again(pipeline, instance, tmp_path):
    """Prevents a short outage of the object store from failing a set for good."""
    (tmp_path / "file").write_text("")
    pipeline.manager = ArtifactIOManager(url=str(tmp_path / "file" / "store"), scratch=str(tmp_path / "scratch"))
    told, retries = _outcome(pipeline.run(instance, "photos"))
    assert "StoreUnavailable: Cannot create" in told
    assert retries == 1


def test_without_fields_the_settings_say_where(pipeline, instance, settings):
    """Prevents code from needing to know where a deployment keeps its products."""
    pipeline.manager = ArtifactIOManager()
    assert pipeline.run(instance, "photos").success
    assert ArtifactStore(settings.artifacts_url, settings.scratch).latest("banana", "photos") is not None


def test_importing_the_store_is_light():
    """Prevents code locations that take seconds to load, and a store that drags Dagster along."""
    program = (
        "import sys, json\n"
        "import e2e3d_assets.storage.store, e2e3d_assets.storage.uploads, e2e3d_assets.storage.scratch\n"
        "import e2e3d_assets.storage.retention\n"
        "json.dump([name for name in ('dagster', 'obstore', 'boto3', 'numpy') if name in sys.modules], sys.stdout)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == []
