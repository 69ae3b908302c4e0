"""Settings from the environment: names, refusals, secrets."""

from pathlib import Path

import pytest

from e2e3d_assets.doctor import examine
from e2e3d_assets.settings import Settings, WrongSettings, unknown_names
from e2e3d_assets.storage.objects import BucketOptions


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("E2E3D_S3_PATH_STYLE", "perhaps"),
        ("E2E3D_S3_ENDPOINT", "objects:9000"),
        ("E2E3D_S3_SERVER_SIDE_ENCRYPTION", "rot13"),
        ("E2E3D_ARTIFACTS", "ftp://somewhere"),
        ("E2E3D_UPLOAD_QUIET_SECONDS", "soon"),
        ("E2E3D_KEEP_REVISIONS", "0"),
        ("E2E3D_SMTP_PORT", "99999"),
        ("E2E3D_WEBHOOK_URLS", "https://good.example not-an-address"),
    ],
)
def test_wrong_value_is_refused_by_its_name(monkeypatch, name, value):
    """Prevents a wrong value from being found by the first failing run, or under another name."""
    monkeypatch.setenv(name, value)
    with pytest.raises(WrongSettings, match=f"^{name}: "):
        Settings()


def test_every_wrong_value_is_named_at_once(monkeypatch):
    """Prevents an operator from mending one variable a restart."""
    monkeypatch.setenv("E2E3D_SMTP_PORT", "x")
    monkeypatch.setenv("E2E3D_KEEP_RUN_DAYS", "y")
    with pytest.raises(WrongSettings) as refused:
        Settings()
    assert {line.split(":")[0] for line in str(refused.value).splitlines()} == {
        "E2E3D_SMTP_PORT",
        "E2E3D_KEEP_RUN_DAYS",
    }


def test_secrets_are_never_shown(monkeypatch):
    """Prevents a secret in a terminal that is shared, or in a message about another fault."""
    for name in ("E2E3D_WEBHOOK_SECRET", "E2E3D_SMTP_PASSWORD"):
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv("E2E3D_WEBHOOK_URLS", "https://chat.example/hunter2")
    monkeypatch.setenv("E2E3D_SLACK_WEBHOOK_URL", "https://chat.example/hunter2")
    assert "hunter2" not in repr(Settings())
    assert "hunter2" not in repr(examine())
    monkeypatch.setenv("E2E3D_WEBHOOK_URLS", "hunter2")
    with pytest.raises(WrongSettings) as refused:
        Settings()
    assert "hunter2" not in str(refused.value)


def test_empty_means_default(monkeypatch):
    """Prevents an env file with empty lines from being another configuration than one without them."""
    monkeypatch.setenv("E2E3D_S3_PATH_STYLE", "")
    monkeypatch.setenv("E2E3D_ARTIFACTS", "")
    assert Settings().s3_path_style
    assert Settings().artifacts is None


def test_bucket_options_are_the_stores(monkeypatch, tmp_path):
    """Prevents a setting that never reaches the store."""
    (tmp_path / "ca.pem").write_text("certificate")
    monkeypatch.setenv("E2E3D_S3_ENDPOINT", "https://objects.example")
    monkeypatch.setenv("E2E3D_S3_CA_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("E2E3D_S3_SERVER_SIDE_ENCRYPTION", "aws:kms")
    options = BucketOptions(**Settings().bucket_options)
    assert options.endpoint == "https://objects.example"
    assert options.ca_certificate == "certificate"
    assert options.server_side_encryption == "aws:kms"


def test_misspelt_names_are_found():
    """Prevents a setting that silently does nothing."""
    given = {"E2E3D_ARTIFACT": "x", "E2E3D_ARTIFACTS": "y", "E2E3D_POSTGRES_HOST": "z", "PATH": ""}
    assert unknown_names(given) == ["E2E3D_ARTIFACT"]


def test_every_setting_is_described():
    """Prevents a variable whose meaning is only in the code."""
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_every_setting_is_in_the_operators_readme():
    """Prevents a variable that only readers of the code know."""
    readme = (Path(__file__).parents[1] / "deployment" / "README.md").read_text()
    assert [name for name in Settings.model_fields if f"`E2E3D_{name.upper()}`" not in readme] == []
