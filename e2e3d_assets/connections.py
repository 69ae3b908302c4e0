"""Connections of a run to the instance's database: kept open and used again.

Dagster opens one for each question: more than a thousand logins a run, which cost more than everything else that a run
does besides its stages. What belongs here: asking for the pool that Dagster's webserver has, and making it outlive a
restart of the database.
"""

from typing import Any

import dagster as dg
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import Pool

_NO_LIMIT_MS = 0
_RENEWED_AFTER_SECONDS = 3600
_MORE_THAN_ONE = 20  # threads of one run that ask at the same moment


def keep_connections(instance: dg.DagsterInstance) -> None:
    """Let this process ask the instance's database over connections that stay open; SQLite has none to keep."""
    instance.optimize_for_webserver(_NO_LIMIT_MS, _RENEWED_AFTER_SECONDS, _MORE_THAN_ONE)
    if not event.contains(Pool, "checkout", _require_alive):
        event.listen(Pool, "checkout", _require_alive)


def _require_alive(connection: Any, *_: object) -> None:
    """What the database has closed meanwhile is replaced by the pool."""
    try:
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        cursor.close()
    except Exception as error:  # of whichever driver
        raise DisconnectionError from error
