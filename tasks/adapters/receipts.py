"""What this machine has already read with its own eyes, kept between publishes: a home in, two small tables out.

The first table knows the SHA-256 of bytes by their MD5, so that a file that did not change is not hashed again. The
second knows which object of which remote had the right SHA-256 when it was read, and the stamp it had then: while the
stamp is the same, nobody has written there since. Laws: losing the file costs time, never a check; several processes
may use it at once, and one that is killed leaves it whole.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_core.audit.objects import Reading
from cxr_core.errors import VersioningError

__all__ = ["Receipts"]

_FILE = "dvc/receipts.sqlite"
_SECONDS = 60.0
# SQLite takes some 32 000 variables in a statement, older ones 999.
_BATCH = 900
_SCHEMA = """
CREATE TABLE IF NOT EXISTS measured (md5 TEXT PRIMARY KEY, sha256 TEXT NOT NULL, size INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS verified (
    remote TEXT, md5 TEXT, stamp TEXT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (remote, md5)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipts:
    """The two tables of a home.

    Args:
        home: ``CXR_HOME``; the file is made on first use.
    """

    home: Path

    def measured(self, md5s: Collection[str]) -> dict[str, Reading]:
        """What is known of objects by MD5 (with ``.dir`` for a listing)."""
        query = "SELECT md5, sha256, size FROM measured WHERE md5 IN ({})"
        return {
            md5: Reading(md5=md5.removesuffix(".dir"), sha256=sha256, size=size)
            for md5, sha256, size in self._rows(query, (), md5s)
        }

    def keep_measured(self, found: Mapping[str, Reading]) -> None:
        """Remember what objects were measured to be."""
        rows = [(md5, reading.sha256, reading.size) for md5, reading in found.items()]
        self._write("INSERT OR REPLACE INTO measured VALUES (?, ?, ?)", rows)

    def verified(self, remote: str, md5s: Collection[str]) -> dict[str, tuple[str, str]]:
        """Stamp and SHA-256 that objects of a remote had when they were read whole."""
        query = "SELECT md5, stamp, sha256 FROM verified WHERE remote = ? AND md5 IN ({})"
        return {md5: (stamp, sha256) for md5, stamp, sha256 in self._rows(query, (remote,), md5s)}

    def keep_verified(self, remote: str, found: Mapping[str, tuple[str, str]]) -> None:
        """Remember stamp and SHA-256 of objects that were read whole at a remote."""
        rows = [(remote, md5, stamp, sha256) for md5, (stamp, sha256) in found.items()]
        self._write("INSERT OR REPLACE INTO verified VALUES (?, ?, ?, ?)", rows)

    def _rows(self, query: str, first: tuple[str, ...], md5s: Collection[str]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        with self._open() as database:
            for some in _batches(md5s):
                marks = ", ".join("?" * len(some))
                rows += database.execute(query.format(marks), (*first, *some)).fetchall()
        return rows

    def _write(self, statement: str, rows: Sequence[tuple[str | int, ...]]) -> None:
        if rows:
            with self._open() as database, database:
                database.executemany(statement, rows)

    @contextmanager
    def _open(self) -> Generator[sqlite3.Connection]:
        path = self.home / _FILE
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(path, timeout=_SECONDS)) as database:
                database.executescript(_SCHEMA)
                yield database
        except sqlite3.DatabaseError as error:
            raise VersioningError(
                f"{path} cannot be used: {error}.",
                reason="receipts_unusable",
                hint=f"rm {path} (it only saves time: the next publish reads every object once)",
            ) from error


def _batches(md5s: Collection[str]) -> Iterator[list[str]]:
    rest = [*md5s]
    for start in range(0, len(rest), _BATCH):
        yield rest[start : start + _BATCH]
