"""Growing sets: rows of an earlier COLMAP database that a new one would have to compute again.

What belongs here: what names a photo's input to a stage, and the copying of rows. Which product is the earlier one is
known to who runs the stage, who also answers for it having been made by the same code with the same options.

All names are digests of contents, never file names: a photo that was replaced under its name is a new photo.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ..monitor import Monitor

NamedPair: TypeAlias = tuple[str, str]

_PIECE = 256
_PAIR_BASE = 2**31 - 1
"""COLMAP's pair id is this times the smaller image id, plus the larger."""


def file_digest(paths: Sequence[Path]) -> str:
    """SHA-256 over files, of which some may not exist."""
    digest = hashlib.sha256()
    for path in paths:
        if path.is_file():
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        digest.update(b"|")
    return digest.hexdigest()


def comparison_digests(database: Path, monitor: Monitor) -> dict[str, str]:
    """For each photo in a database, a digest of all that comparing it depends on: key points, descriptors, camera."""
    digests: dict[str, str] = {}
    with _open(database) as connection:
        rows = connection.execute(
            "SELECT name, model, width, height, params, prior_focal_length, keypoints.data, descriptors.data"
            " FROM images JOIN cameras USING (camera_id) JOIN keypoints USING (image_id)"
            " JOIN descriptors USING (image_id)"
        )
        for name, *contents in rows:
            monitor.check()
            digest = hashlib.sha256()
            for content in contents:
                digest.update(
                    hashlib.sha256(content if isinstance(content, bytes) else repr(content).encode()).digest()
                )
            digests[name] = digest.hexdigest()
    return digests


def take_features(database: Path, earlier: Path, same: Mapping[str, str], monitor: Monitor) -> None:
    """Copy key points and descriptors.

    Args:
        database: closed; has the images, but no features of those in ``same``.
        earlier: database of the earlier product, stays untouched.
        same: name of a photo here, and its name there.
        monitor: progress per photo.
    """
    with _open(database, earlier) as connection:
        here, there = _image_ids(connection, "main"), _image_ids(connection, "earlier")
        ids = [(here[name], there[other]) for name, other in same.items()]
        for table in ("keypoints", "descriptors"):
            _copy(connection, table, "image_id", ids, lambda done: monitor.progress(done, len(ids), "photos known"))


@dataclass(frozen=True)
class EarlierComparisons:
    """Pairs that an earlier product compared, all in the same way.

    Attributes:
        database: of the earlier product, stays untouched.
        same: name of a photo here, and its name there.
        pairs: of names there, in either order.
    """

    database: Path
    same: Mapping[str, str]
    pairs: Collection[frozenset[str]]

    def take_over(self, database: Path, wanted: Sequence[NamedPair], monitor: Monitor) -> set[NamedPair]:
        """Copy the matches and verified geometries that are known of the pairs wanted.

        Args:
            database: closed; has the images, but no comparison of these pairs.
            wanted: pairs of photos here.
            monitor: progress per pair.

        Returns:
            the pairs copied. One whose photos have changed places in the order of ids is not among them: what was
            found from one photo to the other need not be found the other way.
        """
        known = [pair for pair in wanted if frozenset(self.same.get(name, "") for name in pair) in self.pairs]
        with _open(database, self.database) as connection:
            here, there = _image_ids(connection, "main"), _image_ids(connection, "earlier")
            keys: dict[NamedPair, tuple[int, int]] = {}
            for one, other in known:
                new, old = (here[one], here[other]), (there[self.same[one]], there[self.same[other]])
                if (new[0] < new[1]) == (old[0] < old[1]):
                    keys[one, other] = _pair_id(*new), _pair_id(*old)
            ids = list(keys.values())
            for table in ("matches", "two_view_geometries"):
                _copy(connection, table, "pair_id", ids, lambda done: monitor.progress(done, len(ids), "pairs known"))
        return set(keys)


def _copy(
    connection: sqlite3.Connection, table: str, key: str, ids: Sequence[tuple[int, int]], told: Callable[[int], None]
) -> None:
    """Rows of ``earlier`` into ``main`` under new keys; ``ids`` are (new, old)."""
    columns = [row[1] for row in connection.execute(f"PRAGMA main.table_info({table})") if row[1] != key]
    names = ", ".join(columns)
    statement = f"INSERT INTO main.{table} ({key}, {names}) SELECT ?, {names} FROM earlier.{table} WHERE {key} = ?"  # noqa: S608
    for start in range(0, len(ids), _PIECE):
        connection.executemany(statement, ids[start : start + _PIECE])
        connection.commit()
        told(min(start + _PIECE, len(ids)))


def _image_ids(connection: sqlite3.Connection, schema: str) -> dict[str, int]:
    return dict(connection.execute(f"SELECT name, image_id FROM {schema}.images"))  # noqa: S608


def _pair_id(one: int, other: int) -> int:
    return _PAIR_BASE * min(one, other) + max(one, other)


@contextmanager
def _open(database: Path, earlier: Path | None = None) -> Iterator[sqlite3.Connection]:
    """A database, with another attached as ``earlier`` so that not even a log is written beside it."""
    with closing(sqlite3.connect(database.absolute().as_uri(), uri=True)) as connection:
        if earlier is not None:
            connection.execute("ATTACH ? AS earlier", (f"{earlier.absolute().as_uri()}?mode=ro&immutable=1",))
        yield connection
