"""The schedule of attempts, without sending anything."""

from datetime import UTC, datetime, timedelta

from e2e3d_assets.notifications.channels import Webhook
from e2e3d_assets.notifications.outbox import Outbox
from e2e3d_assets_tests.notifications.test_channels import FAILED

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
CHANNELS = {channel.name: channel for channel in (Webhook("http://a", None), Webhook("http://b", None))}


def test_every_channel_gets_its_own_letter():
    """Prevents one dead receiver from keeping the others uninformed."""
    box = Outbox().put([FAILED], CHANNELS, NOW)
    first, second = box.due(NOW)
    box = box.failed(first, "away", NOW).delivered(second)
    assert [letter.channel for letter in box.waiting] == [first.channel]
    assert box.due(NOW) == []


def test_pauses_grow_and_end_in_a_dead_letter():
    """Prevents a receiver from being hammered, and a letter from being tried for ever or lost in silence."""
    box, now, pauses = Outbox().put([FAILED], dict([*CHANNELS.items()][:1]), NOW), NOW, []
    while box.waiting:
        (letter,) = box.waiting
        pauses.append((letter.due - now).total_seconds())
        now = letter.due
        box = box.failed(letter, "away", now)
    assert pauses == [0, 10, 40, 160, 640, 2560, 3600, 3600]
    (dead,) = box.dead
    assert dead.reason == "away"
    assert dead.attempts == len(pauses)


def test_permanent_refusal_is_not_repeated():
    """Prevents eight attempts at an address that does not exist."""
    box = Outbox().put([FAILED], CHANNELS, NOW)
    assert len(box.failed(box.due(NOW)[0], "404", NOW, permanent=True).dead) == 1


def test_dead_letters_are_bounded_and_can_be_revived():
    """Prevents a year of failures from filling the database, and letters that nobody can send again."""
    box = Outbox()
    for number in range(150):
        box = box.put([FAILED.model_copy(update={"run_id": f"{number}"})], dict([*CHANNELS.items()][:1]), NOW)
        box = box.failed(box.waiting[0], "404", NOW, permanent=True)
    assert len(box.dead) == 100
    assert box.dead[-1].event.run_id == "149"
    revived = box.revived(NOW + timedelta(hours=1))
    assert len(revived.waiting) == 100
    assert revived.dead == ()
    assert {letter.attempts for letter in revived.waiting} == {0}


def test_outbox_survives_being_written_down():
    """Prevents a restart from losing what was still to be told."""
    box = Outbox().put([FAILED], CHANNELS, NOW)
    box = box.failed(box.waiting[0], "away", NOW)
    assert Outbox.model_validate_json(box.model_dump_json()) == box
