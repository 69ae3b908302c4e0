"""Looking into a COLMAP database while COLMAP writes it.

What belongs here: read-only questions by SQL that pycolmap's own class has no answer for, and progress from them.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

from .errors import Cancelled
from .monitor import Monitor

DATABASE = "database.db"
Table: TypeAlias = Literal["descriptors", "two_view_geometries", "matches", "pose_priors"]
_POLL_SECONDS = 0.5


def count_rows(database: Path, table: Table) -> int:
    """Rows of a table; 0 while the database does not exist or is busy."""
    if not database.is_file():
        return 0
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
            return int(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])  # noqa: S608, one of Table
    except sqlite3.OperationalError:
        return 0


@contextmanager
def polled_progress(database: Path, table: Table, total: int, what: str, monitor: Monitor) -> Iterator[None]:
    """While the body lets COLMAP write ``table``, tell the monitor how many rows there are."""
    finished = threading.Event()

    def poll() -> None:
        while not finished.wait(_POLL_SECONDS):
            try:
                monitor.progress(min(total, count_rows(database, table)), total, what)
            except Cancelled:
                return  # the native call, which watches the monitor itself, raises it in the caller's thread

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()
    monitor.progress(total, total, what)


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
