"""How assets run their stages: re-use, plain failures, scratch, interruption. With a real store on disk."""

import threading
import time
from pathlib import Path

import dagster as dg
import pytest

from e2e3d_assets.progress import LogProgress
from e2e3d_assets.reconstruction.errors import BadInput
from e2e3d_assets.reconstruction.monitor import Figures, Monitor
from e2e3d_assets.stages import Stages, _off_main_thread, stage_asset
from e2e3d_assets.storage.artifacts import Artifact
from e2e3d_assets.storage.io_manager import ArtifactIOManager


class Text:
    """An input of a stage that is not an artifact."""

    def __init__(self, text: str, directory: Path) -> None:
        self.digest = text
        self._directory = directory

    def path(self) -> Path:
        (self._directory / "text").write_text(self.digest)
        return self._directory


class Pipeline:
    """photos → features with real artifacts and trivial science; counts how often each stage works."""

    def __init__(self, directory: Path) -> None:
        self.text = "hello"
        self.calls: list[str] = []
        self.problem: BaseException | None = None

        @stage_asset(code_version="1")
        def photos(context: dg.AssetExecutionContext, stages: Stages):
            yield from stages.run(context, self._upper, Text(self.text, directory))

        @stage_asset(code_version="1")
        def features(context: dg.AssetExecutionContext, stages: Stages, photos: Artifact):
            yield from stages.run(context, self._length, photos)

        self.assets = [photos, features]

    def _upper(self, given: Path, out: Path, options, monitor: Monitor):
        self.calls.append("photos")
        (out / "half").write_text("written before the failure")
        if self.problem:
            raise self.problem
        (out / "text").write_text((given / "text").read_text().upper())
        return {"letters": 5}

    def _length(self, photos: Path, out: Path, options, monitor: Monitor):
        self.calls.append("features")
        (out / "length").write_text(f"{len((photos / 'text').read_text())} {options.max_features}")
        return {"length": len((photos / "text").read_text())}

    def run(self, instance: dg.DagsterInstance, **config):
        return dg.materialize(
            self.assets,
            partition_key="banana",
            instance=instance,
            resources={"artifacts": ArtifactIOManager(), "stages": Stages(progress=LogProgress())},
            run_config={"resources": {"stages": {"config": config}}},
            raise_on_error=False,
        )


@pytest.fixture
def pipeline(tmp_path) -> Pipeline:
    return Pipeline(tmp_path)


def _materialization(result: dg.ExecuteInProcessResult, asset: str) -> dg.AssetMaterialization:
    (event,) = result.asset_materializations_for_node(asset)
    return event


def test_products_flow_and_carry_figures(pipeline, instance):
    """Prevents materializations without numbers, which leaves operators' plots empty."""
    result = pipeline.run(instance)
    assert result.success
    metadata = _materialization(result, "features").metadata
    assert metadata["length"].value == 5
    assert metadata["wall_seconds"].value >= 0
    assert metadata["reused"].value is False
    assert result.output_for_node("features").path("length").read_text() == "5 8192"


def test_data_version_is_the_products_digest(pipeline, instance):
    """Prevents equal products from making everything downstream stale."""
    versions = [
        _materialization(pipeline.run(instance, fresh=True), "features").tags["dagster/data_version"] for _ in range(2)
    ]
    assert versions[0] == versions[1]
    assert pipeline.calls.count("features") == 2


def test_equal_work_is_not_done_twice(pipeline, instance):
    """Prevents an interrupted run from starting at the first stage again."""
    pipeline.run(instance)
    result = pipeline.run(instance)
    assert pipeline.calls == ["photos", "features"]
    assert _materialization(result, "features").metadata["reused"].value is True


def test_a_stage_may_go_on_from_its_last_product(pipeline, instance):
    """Prevents a set that grew by one photo from being matched all over, and old code or options from living on."""
    given: list[str | None] = []

    @stage_asset(code_version="1")
    def features(context: dg.AssetExecutionContext, stages: Stages, photos: Artifact):
        yield from stages.run(context, extract, photos)

    def extract(photos: Path, out: Path, options, monitor: Monitor, previous: Path | None) -> Figures:
        given.append((previous / "text").read_text() if previous else None)
        (out / "text").write_text((photos / "text").read_text())
        return {"photos": 1}

    pipeline.assets[1] = features
    for pipeline.text in ("one", "two"):
        pipeline.run(instance)
    pipeline.text = "three"
    pipeline.run(instance, overrides={"features": {"max_features": 300}})
    pipeline.text = "four"
    pipeline.run(instance, fresh=True)
    assert given == [None, "ONE", None, None]


@pytest.mark.parametrize("damaged", ["text", "manifest.json", "latest.json"])
def test_damaged_product_is_made_again(pipeline, instance, settings, damaged):
    """Prevents a flipped byte in the store from making every later run of the set fail."""
    pipeline.run(instance)
    (file,) = (settings.home / "artifacts" / "banana" / "photos").rglob(damaged)
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-3] + b"###")
    assert pipeline.run(instance).success
    assert pipeline.calls == ["photos", "features", "photos"], "equal bytes again: features is still good"


def test_other_options_are_other_work(pipeline, instance):
    """Prevents a run at another quality from handing out the old product."""
    pipeline.run(instance)
    pipeline.run(instance, overrides={"features": {"max_features": 300}})
    pipeline.run(instance, fresh=True)
    assert pipeline.calls == ["photos", "features", "features", "photos", "features"]


def test_bad_input_is_told_and_not_retried(pipeline, instance, settings):
    """Prevents three attempts at photos that can never work, and a stack trace in place of a remedy."""
    pipeline.problem = BadInput("2 of 2 photos are text files", "Upload JPEG files", ["a.jpg", "b.jpg"])
    result = pipeline.run(instance)
    assert not result.success
    assert pipeline.calls == ["photos"]
    (failure,) = result.filter_events(lambda event: event.is_step_failure)
    told = failure.step_failure_data.user_failure_data
    assert told.description == "2 of 2 photos are text files (a.jpg, b.jpg). Upload JPEG files."
    assert told.metadata["remedy"].value == "Upload JPEG files"
    assert not list(settings.scratch.glob("*banana*")), "a failed stage leaves no scratch"


def test_interrupted_stage_is_not_tried_again(pipeline, instance):
    """Prevents cancelling from being taken for a reason to retry, which is what Dagster does by itself."""
    pipeline.problem = KeyboardInterrupt()
    assert not pipeline.run(instance).success
    assert pipeline.calls == ["photos"]


def test_wrong_overrides_fail_before_any_work(pipeline, instance):
    """Prevents a typing error from being found after an hour of work."""
    result = pipeline.run(instance, overrides={"features": {"max_feature": 1}})
    assert not result.success
    assert "features" not in pipeline.calls


def test_interruption_reaches_the_working_thread():
    """Prevents a cancelled run whose native work goes on."""
    monitor = Monitor()
    stopped = threading.Event()

    def stage():
        try:
            while True:
                monitor.check()
                time.sleep(0.01)
        finally:
            stopped.set()

    def interrupt():
        time.sleep(0.2)
        import _thread

        _thread.interrupt_main()

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        _off_main_thread(stage, monitor.cancelled)
    assert stopped.is_set()


@pytest.mark.parametrize("problem", [MemoryError(), OSError(28, "No space left on device")])
def test_what_ran_out_is_told_and_not_tried_again(pipeline, instance, problem):
    """Prevents hours of work from being repeated into the same full disk, and a stack trace in place of a remedy."""
    pipeline.problem = problem
    failure = pipeline.run(instance).failure_data_for_node("photos").user_failure_data
    assert "start the run again" in failure.description
    assert pipeline.calls == ["photos"]
