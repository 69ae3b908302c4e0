"""What is still to be told, how often it was tried, and what was given up: pure, kept as one JSON text.

What belongs here: the schedule of attempts. What does not: sending (``channels``) and where the text is kept.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from .channels import Channel
from .events import RunEvent

_FIRST_PAUSE = timedelta(seconds=10)
_PAUSE_GROWTH = 4
_LONGEST_PAUSE = timedelta(hours=1)
_ATTEMPTS = 8
_DEAD_LETTERS_KEPT = 100


class Letter(BaseModel):
    """One event for one channel."""

    model_config = ConfigDict(frozen=True)

    channel: str
    event: RunEvent
    attempts: int = 0
    due: AwareDatetime
    reason: str = Field(default="", description="Why the last attempt failed.")


class Outbox(BaseModel):
    """Letters that wait, and the last ones that were given up. Immutable: each step gives a new one."""

    model_config = ConfigDict(frozen=True)

    waiting: tuple[Letter, ...] = ()
    dead: tuple[Letter, ...] = ()

    def put(self, events: Sequence[RunEvent], channels: Mapping[str, Channel], now: datetime) -> "Outbox":
        """With a letter for each channel that wants an event."""
        new = [
            Letter(channel=name, event=event, due=now)
            for event in events
            for name, channel in channels.items()
            if channel.wants(event)
        ]
        return self.model_copy(update={"waiting": (*self.waiting, *new)})

    def due(self, now: datetime) -> list[Letter]:
        """What is to be tried now, the longest waiting first."""
        return sorted((letter for letter in self.waiting if letter.due <= now), key=lambda letter: letter.due)

    def delivered(self, letter: Letter) -> "Outbox":
        """Without a letter that has arrived."""
        return self.model_copy(update={"waiting": tuple(each for each in self.waiting if each != letter)})

    def failed(self, letter: Letter, reason: str, now: datetime, *, permanent: bool = False) -> "Outbox":
        """With the letter waiting for its next attempt, or given up."""
        attempts = letter.attempts + 1
        pause = min(_FIRST_PAUSE * _PAUSE_GROWTH ** (attempts - 1), _LONGEST_PAUSE)
        tried = letter.model_copy(update={"attempts": attempts, "reason": reason, "due": now + pause})
        rest = self.delivered(letter)
        if permanent or attempts >= _ATTEMPTS:
            return rest.model_copy(update={"dead": (*rest.dead, tried)[-_DEAD_LETTERS_KEPT:]})
        return rest.model_copy(update={"waiting": (*rest.waiting, tried)})

    def revived(self, now: datetime) -> "Outbox":
        """With all dead letters waiting again, as if they were new."""
        again = tuple(letter.model_copy(update={"attempts": 0, "due": now}) for letter in self.dead)
        return Outbox(waiting=(*self.waiting, *again))
