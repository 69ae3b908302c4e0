"""Channels against real receivers on 127.0.0.1."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from e2e3d_assets.notifications.channels import Mail, Slack, Undelivered, Webhook, open_channels
from e2e3d_assets.notifications.events import RunEvent
from e2e3d_assets.settings import Settings
from e2e3d_assets_tests.notifications.receivers import http_receiver, mail_server, make_certificate

FAILED = RunEvent(
    kind="run.failed",
    run_id="0123456789",
    job="reconstruct_job",
    image_set="banana",
    started=datetime(2026, 5, 1, 12, 0, tzinfo=UTC),
    ended=datetime(2026, 5, 1, 12, 3, 20, tzinfo=UTC),
    stage="photos",
    problem="2 of 2 photos are <text> files. Upload JPEG files.",
    url="http://ui.example/runs/0123456789",
)


def test_webhook_is_signed_so_that_a_receiver_can_check_it():
    """Prevents anybody who knows the address from reporting runs."""
    with http_receiver() as receiver:
        Webhook(receiver.url, "s3cret").send(FAILED)
    ((headers, body),) = receiver.got
    signed = headers["E2E3D-Timestamp"].encode() + b"." + body
    assert headers["E2E3D-Signature"] == "sha256=" + hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()
    assert headers["E2E3D-Delivery"] == "0123456789-run.failed"
    told = json.loads(body)
    assert told["text"] == "banana failed (3 min 20 s)"
    assert RunEvent.model_validate(told) == FAILED


def test_slack_gets_text_and_blocks_without_markup_of_ours():
    """Prevents a message that the chat refuses, or that renders a photo's name as markup."""
    with http_receiver() as receiver:
        Slack(receiver.url).send(FAILED)
    told = json.loads(receiver.got[0][1])
    assert told["text"] == "banana failed (3 min 20 s)"
    text = told["blocks"][0]["text"]["text"]
    assert "photos: 2 of 2 photos are &lt;text&gt; files" in text
    assert "<http://ui.example/runs/0123456789|Run 01234567>" in text


def test_mail_arrives_readable():
    """Prevents mail without subject or reason."""
    with mail_server() as (box, port):
        _mail(port).send(FAILED)
    (mail,) = box.mails
    assert mail["Subject"] == "banana failed (3 min 20 s)"
    assert mail["To"] == "operator@example.org"
    assert "2 of 2 photos" in mail.get_content()
    assert mail["Message-ID"] == "<0123456789-run.failed@e2e3d>"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    make_certificate(file)
    return file


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_goes_encrypted_and_with_login(security, certificate, monkeypatch):
    """Prevents mail servers as they are outside of tests from taking nothing, or passwords from being sent in clear."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with mail_server(security, certificate, ("operator", "s3cret")) as (box, port):
        _mail(port, security, "operator", "s3cret").send(FAILED)
        with pytest.raises(Undelivered) as refused:
            _mail(port, security, "operator", "wrong").send(FAILED)
        assert refused.value.permanent
        assert "wrong" not in str(refused.value)
    assert [mail["Subject"] for mail in box.mails] == ["banana failed (3 min 20 s)"]


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_mail_server_that_nobody_vouches_for_gets_nothing(security, certificate):
    """Prevents handing login and reports to whoever answers at that address."""
    with mail_server(security, certificate) as (box, port), pytest.raises(Undelivered, match="CERTIFICATE_VERIFY"):
        _mail(port, security, "operator", "s3cret").send(FAILED)
    assert box.mails == []


def test_a_mail_server_without_encryption_gets_nothing_unless_asked_for():
    """Prevents a password in clear because a server no longer offers STARTTLS."""
    with mail_server() as (box, port), pytest.raises(Undelivered):
        _mail(port, "starttls", "operator", "s3cret").send(FAILED)
    assert box.mails == []


@pytest.mark.parametrize(
    ("answer", "permanent"), [(500, False), (503, False), (429, False), (404, True), (401, True), (302, True)]
)
def test_refusal_of_a_webhook_says_whether_to_try_again(answer, permanent):
    """Prevents a wrong address from being tried for hours, and a busy receiver from being given up."""
    with http_receiver() as receiver:
        receiver.answers = [answer]
        with pytest.raises(Undelivered, match=str(answer)) as refused:
            Webhook(receiver.url, None).send(FAILED)
    assert refused.value.permanent is permanent


def test_unreachable_receivers_are_tried_again_and_their_address_is_not_told():
    """Prevents tokens of addresses in logs."""
    with http_receiver() as receiver:
        url = receiver.url
    for channel in (Webhook(url, None), Slack(url), _mail(9)):
        with pytest.raises(Undelivered) as refused:
            channel.send(FAILED)
        assert not refused.value.permanent
        assert "secret-token" not in str(refused.value) + channel.name


@pytest.mark.parametrize(("answer", "permanent"), [("451 busy", False), ("550 no such user", True)])
def test_refusal_of_mail_says_whether_to_try_again(answer, permanent):
    """Prevents greylisting from losing a mail."""
    with mail_server() as (box, port):
        box.refusal = answer
        with pytest.raises(Undelivered) as refused:
            _mail(port).send(FAILED)
    assert refused.value.permanent is permanent


def test_channels_are_those_of_the_settings(monkeypatch):
    """Prevents a configured channel that is never used, and mail for every success."""
    assert open_channels(Settings()) == {}
    monkeypatch.setenv("E2E3D_WEBHOOK_URLS", "https://a.example/1 https://a.example/2")
    monkeypatch.setenv("E2E3D_SLACK_WEBHOOK_URL", "https://chat.example/x")
    monkeypatch.setenv("E2E3D_SMTP_HOST", "mail.example")
    monkeypatch.setenv("E2E3D_MAIL_TO", "operator@example.org")
    channels = open_channels(Settings())
    assert [name.split()[0] for name in channels] == ["webhook", "webhook", "slack", "mail"]
    success = FAILED.model_copy(update={"kind": "run.succeeded"})
    assert [channel.wants(success) for channel in channels.values()] == [True, True, True, False]


def _mail(port: int, security: str = "none", user: str | None = None, password: str | None = None) -> Mail:
    return Mail("127.0.0.1", port, security, user, password, "e2e3d@example.org", ("operator@example.org",))
