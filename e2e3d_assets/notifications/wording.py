"""Events in the words of each channel: JSON, Slack's JSON, mail. Pure."""

import json
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from .events import RunEvent

_OUTCOME = {
    "run.succeeded": "is ready",
    "run.failed": "failed",
    "run.cancelled": "was cancelled",
    "run.stuck": "has been running for too long",
}
_MARK = {"run.succeeded": "✅", "run.failed": "❌", "run.cancelled": "⏹", "run.stuck": "⏰"}


def headline(event: RunEvent) -> str:
    """One line: ``banana is ready (3 min 20 s)``."""
    took = f" ({_duration(event.seconds)})" if event.seconds is not None else ""
    return f"{event.image_set or event.job} {_OUTCOME[event.kind]}{took}"


def webhook_json(event: RunEvent) -> bytes:
    """The event as it is, and its headline."""
    return json.dumps({"text": headline(event), **event.model_dump(mode="json")}, ensure_ascii=False).encode()


def slack_json(event: RunEvent) -> dict[str, Any]:
    """A message with one section; ``text`` is what notifications of the phone show."""
    lines = [f"{_MARK[event.kind]} *{_slack_text(headline(event))}*"]
    if event.problem:
        lines.append(_slack_text(f"{event.stage}: {event.problem}" if event.stage else event.problem)[:2000])
    lines.append(f"<{event.url}|Run {event.run_id[:8]}>")
    return {
        "text": _slack_text(headline(event)),
        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(lines)}}],
    }


def mail(event: RunEvent, sender: str, receivers: list[str]) -> EmailMessage:
    """A plain text message; the event's id stands in the Message-ID."""
    message = EmailMessage()
    message["Subject"] = headline(event)
    message["From"] = sender
    message["To"] = ", ".join(receivers)
    message["Message-ID"] = f"<{event.id}@e2e3d>"
    if event.ended:
        message["Date"] = format_datetime(event.ended)
    paragraphs = [headline(event) + "."]
    if event.problem:
        paragraphs.append(f"{event.stage}: {event.problem}" if event.stage else event.problem)
    paragraphs.append(f"Run: {event.url}")
    message.set_content("\n\n".join(paragraphs))
    return message


def _slack_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
