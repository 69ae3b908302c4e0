"""Looking into a COLMAP database while COLMAP writes it, and making it small when it is done.

While pycolmap has a database open, only pycolmap may look into it: Python's ``sqlite3`` is another copy of SQLite, and
closing its file drops the POSIX locks of the whole process, which ends in "locking protocol" and an abort.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeAlias

import pycolmap

from ..errors import Cancelled
from ..monitor import Monitor

DATABASE = "database.db"
IsWritten: TypeAlias = Callable[[pycolmap.Database], bool]
_POLL_SECONDS = 0.5
_OUT_OF_ORDER = 256


@contextmanager
def polled_progress(database: Path, rows: Iterable[IsWritten], what: str, monitor: Monitor) -> Iterator[None]:
    """While the body lets COLMAP write ``rows``, tell the monitor how many of them are written.

    Args:
        database: exists already.
        rows: for each unit of work, the question whether the database has it.
        what: the unit's name for people.
        monitor: is told from a thread.
    """
    pending = list(rows)
    total = len(pending)
    finished = threading.Event()

    def poll(reader: pycolmap.Database) -> None:
        nonlocal pending
        while not finished.wait(_POLL_SECONDS):
            pending = _still_pending(pending, reader)
            try:
                monitor.progress(total - len(pending), total, what)
            except Cancelled:
                return  # the native call, which watches the monitor itself, raises it in the caller's thread

    with pycolmap.Database.open(database) as reader:
        thread = threading.Thread(target=poll, args=(reader,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            finished.set()
            thread.join()
    monitor.progress(total, total, what)


def _still_pending(rows: Sequence[IsWritten], reader: pycolmap.Database) -> list[IsWritten]:
    """Rows are written nearly in order: far behind the first that is missing, none needs to be asked for."""
    pending: list[IsWritten] = []
    for index, is_written in enumerate(rows):
        if len(pending) == _OUT_OF_ORDER:
            return [*pending, *rows[index:]]
        if not is_written(reader):
            pending.append(is_written)
    return pending


def drop_descriptors(database: Path) -> None:
    """Remove the descriptors (nine tenths of the bytes; mapping needs none) and leave one closed file."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("DELETE FROM descriptors")
        connection.commit()
        connection.execute("VACUUM")
    close_journal(database)


def close_journal(database: Path) -> None:
    """Fold the write-ahead log into the file, so that one file is the whole database."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
