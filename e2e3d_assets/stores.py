"""The two stores that the settings mean, opened with all that the settings say of them. Nothing else belongs here."""

from .partitions import key_of
from .settings import Settings
from .storage.errors import Refused
from .storage.store import ArtifactStore
from .storage.uploads import Upload, UploadStore


def open_artifacts(settings: Settings) -> ArtifactStore:
    """The store of products. Nothing is read or written yet."""
    return ArtifactStore(settings.artifacts_url, settings.scratch, **settings.bucket_options)


def open_uploads(settings: Settings) -> UploadStore:
    """The store of uploads. Nothing is read or written yet."""
    return UploadStore(settings.uploads_url, settings.scratch, **settings.bucket_options)


def upload_of(uploads: UploadStore, image_set: str) -> Upload:
    """What was uploaded for an image set: under its own name, else under a name that its key was made of."""
    upload = uploads.upload(image_set)
    if upload.files:
        return upload
    return uploads.upload(next((name for name in uploads.image_sets() if key_of(name) == image_set), image_set))


def survey_uploads(uploads: UploadStore) -> tuple[dict[str, Upload], list[str]]:
    """All uploads by folder, and remarks about those that cannot be listed because of a name in them.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    try:
        return uploads.survey(), []
    except Refused:
        found, remarks = {}, []
        for name in uploads.image_sets():
            try:
                found[name] = uploads.upload(name)
            except Refused as error:
                remarks.append(f"{name}: {error}")
        return found, remarks
