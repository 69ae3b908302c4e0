"""The ways by which events are told: signed webhook, Slack's incoming webhook, mail.

What belongs here: one attempt to send. When to try again is for :mod:`~e2e3d_assets.notifications.outbox` to say.
"""

import hashlib
import hmac
import json
import smtplib
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import requests

from ..settings import Settings
from .events import RunEvent
from .wording import mail, slack_json, webhook_json

_TIMEOUT_SECONDS = 10
_WORTH_REPEATING = {408, 425, 429}


class Undelivered(Exception):
    """One attempt failed; ``permanent`` if the next one must fail as well."""

    def __init__(self, reason: str, *, permanent: bool) -> None:
        super().__init__(reason)
        self.permanent = permanent


class Channel(Protocol):
    """One receiver of events."""

    @property
    def name(self) -> str:
        """Tells it from the others, in logs too: no secrets in it."""
        ...

    def wants(self, event: RunEvent) -> bool:
        """Whether the receiver is to be told of it."""
        ...

    def send(self, event: RunEvent) -> None:
        """Try once.

        Raises:
            Undelivered: the receiver did not confirm.
        """
        ...


@dataclass(frozen=True)
class Webhook:
    """Posts the event as JSON, with ``E2E3D-Signature: sha256=HMAC(secret, "<E2E3D-Timestamp>.<body>")``."""

    url: str
    secret: str | None

    @property
    def name(self) -> str:
        """The host, and a digest for the rest of the address, which may hold a token."""
        return _name("webhook", self.url)

    def wants(self, event: RunEvent) -> bool:
        """Everything."""
        return True

    def send(self, event: RunEvent) -> None:
        """Post it."""
        body = webhook_json(event)
        timestamp = str(int(time.time()))
        headers = {"E2E3D-Delivery": event.id, "E2E3D-Timestamp": timestamp}
        if self.secret:
            headers["E2E3D-Signature"] = signature(self.secret, timestamp, body)
        _post(self.url, body, headers)


@dataclass(frozen=True)
class Slack:
    """Posts what Slack, Mattermost and Rocket.Chat take."""

    url: str

    @property
    def name(self) -> str:
        """As of a webhook: the address is a secret."""
        return _name("slack", self.url)

    def wants(self, event: RunEvent) -> bool:
        """What concerns image sets, and whatever went wrong."""
        return event.image_set is not None or event.kind != "run.succeeded"

    def send(self, event: RunEvent) -> None:
        """Post it."""
        _post(self.url, json.dumps(slack_json(event)).encode(), {})


@dataclass(frozen=True)
class Mail:
    """Sends mail about what went wrong."""

    host: str
    port: int
    security: str
    user: str | None
    password: str | None
    sender: str
    receivers: tuple[str, ...]

    @property
    def name(self) -> str:
        """The server."""
        return f"mail {self.host}"

    def wants(self, event: RunEvent) -> bool:
        """Failures and stuck runs."""
        return event.kind in ("run.failed", "run.stuck")

    def send(self, event: RunEvent) -> None:
        """Hand it to the mail server."""
        try:
            with self._connected() as server:
                if self.user:
                    server.login(self.user, self.password or "")
                server.send_message(mail(event, self.sender, list(self.receivers)))
        except smtplib.SMTPRecipientsRefused as error:
            raise Undelivered(f"no receiver is accepted: {error}", permanent=True) from error
        except (OSError, smtplib.SMTPException) as error:
            permanent = isinstance(error, smtplib.SMTPResponseException) and error.smtp_code >= 500
            raise Undelivered(f"{type(error).__name__}: {error}", permanent=permanent) from error

    def _connected(self) -> smtplib.SMTP:
        if self.security == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.host, self.port, timeout=_TIMEOUT_SECONDS, context=context)
        server = smtplib.SMTP(self.host, self.port, timeout=_TIMEOUT_SECONDS)
        if self.security == "starttls":
            try:
                server.starttls(context=ssl.create_default_context())
            except BaseException:
                server.close()
                raise
        return server


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What a receiver computes as well, and compares in constant time."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def open_channels(settings: Settings) -> dict[str, Channel]:
    """Every way that the settings name, by its name."""
    secret = settings.webhook_secret.get_secret_value() if settings.webhook_secret else None
    channels: list[Channel] = [Webhook(url, secret) for url in settings.webhook_urls.get_secret_value().split()]
    if settings.slack_webhook_url:
        channels.append(Slack(settings.slack_webhook_url.get_secret_value()))
    if settings.smtp_host and settings.mail_to:
        channels.append(
            Mail(
                host=settings.smtp_host,
                port=settings.smtp_port,
                security=settings.smtp_security,
                user=settings.smtp_user,
                password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
                sender=settings.mail_from,
                receivers=tuple(settings.mail_to.split()),
            )
        )
    return {channel.name: channel for channel in channels}


def _name(kind: str, url: str) -> str:
    return f"{kind} {urlsplit(url).hostname} {hashlib.sha256(url.encode()).hexdigest()[:6]}"


def _post(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    try:
        answer = requests.post(
            url,
            data=body,
            headers={"Content-Type": "application/json", "User-Agent": "e2e3d", **headers},
            timeout=_TIMEOUT_SECONDS,
            allow_redirects=False,
        )
    except requests.RequestException as error:
        # The error's own text repeats the address, which may hold a token.
        raise Undelivered(f"{type(error).__name__} at {urlsplit(url).hostname}", permanent=False) from None
    if not 200 <= answer.status_code < 300:
        permanent = 300 <= answer.status_code < 500 and answer.status_code not in _WORTH_REPEATING
        raise Undelivered(f"{urlsplit(url).hostname} answered {answer.status_code}", permanent=permanent)
