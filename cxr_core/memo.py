"""What was worked out before from bytes that have not changed: keys in, the answers of earlier runs out.

A memo saves time and nothing else. Laws: a caller's result is the same with a memo, without one, and with a ruined one;
an answer that is damaged, cut short or another key's is not given; a process killed at any moment leaves no wrong
answer behind; several processes may use one memo at once; its size is bounded. Deleting the folder is always safe.

One SQLite file. It is not flushed to the disk on purpose: what a power cut ruins fails its check and is worked out
again. A key holds everything that the answer depends on: digest of the input, parameters, code and libraries
(``recipe``), so that an answer never outlives what gave it.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from cxr_core.digests import digest_file, digest_value

__all__ = ["LIMIT_BYTES", "Answer", "Memo", "code_files", "memo_key", "recipe"]

LIMIT_BYTES = 16 << 30
"""A memo's largest size, unless its caller chooses: pictures of some 300 000 images."""

A = TypeVar("A")
T = TypeVar("T")

_log = logging.getLogger(__name__)

# Another form of the file gets another name, so that two versions of this program can use one folder.
_FILE = "memo-1.sqlite"
# Large pages read blobs of 50 KB fastest (measured: 5 GB/s, against 3 GB/s at the default of 4 KiB).
_PAGE_BYTES = 16384
# Another process writes for milliseconds at a time.
_PATIENCE_SECONDS = 30.0
_BATCH = 256
# Room is made for a tenth of the limit at once, not for one answer at a time.
_SLACK = 10
_PACKAGE = Path(__file__).resolve().parent

# Apart, since marking an entry as used would write a body in the same row anew.
_TABLES = (
    "CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, key BLOB UNIQUE NOT NULL, seal BLOB NOT NULL, "
    "bytes INTEGER NOT NULL, used INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS body (id INTEGER PRIMARY KEY, data BLOB NOT NULL)",
)
# What says that the file is no memo or a ruined one; any other code is about its surroundings: busy, full, read-only.
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})


class Answer(NamedTuple):
    """What stands under a key, and ``sha256:<hex>`` of it, which had to be worked out for the check."""

    data: bytes
    sha256: str


class Memo:
    """A folder's answers; without a folder, or with one that cannot be used, a memo that knows nothing.

    Attributes:
        reused: Answers given.
        added: Answers taken in.
    """

    def __init__(self, folder: Path | None, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self.reused = 0
        self.added = 0
        self._limit = limit_bytes
        self._file = None if folder is None else folder / _FILE
        self._connection: sqlite3.Connection | None = None
        # Which run used an answer last: runs are counted, for clocks are set back.
        self._now = 0

    def __enter__(self) -> Self:
        """The memo itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Give the file back; a memo may be used again afterwards."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def is_on(self) -> bool:
        """Whether there is a folder that may hold answers."""
        return self._file is not None

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        """The answers that are known, by key; those that fail their check are left out."""
        known: dict[bytes, Answer] = {}
        for start in range(0, len(keys), _BATCH):
            known |= self._safely(self._read, keys[start : start + _BATCH], {})
        self.reused += sum(key in known for key in keys)
        return known

    def put(self, answers: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep answers by key, for later runs; where there is no room left, they are let go."""
        batch = list(answers)
        for start in range(0, len(batch), _BATCH):
            self.added += self._safely(self._write, batch[start : start + _BATCH], 0)

    def _read(self, connection: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        marks = ",".join("?" * len(keys))
        rows = connection.execute(
            f"SELECT id, key, seal, used, data FROM entry JOIN body USING (id) WHERE key IN ({marks})",  # noqa: S608
            keys,
        ).fetchall()
        wanted = set(keys)
        known: dict[bytes, Answer] = {}
        stale: list[tuple[int, int]] = []
        for number, key, seal, used, data in rows:
            # A ruined file gives values of any type, and any key's.
            if key not in wanted or not isinstance(data, bytes):
                continue
            digest = hashlib.sha256(data).digest()
            if _seal(key, digest) == seal:
                known[key] = Answer(data, f"sha256:{digest.hex()}")
                if used != self._now:
                    stale.append((self._now, number))
        if stale:
            # Once a run; only used to choose what to let go, so losing a mark is no matter.
            with _transaction(connection):
                connection.executemany("UPDATE entry SET used = ? WHERE id = ?", stale)
        return known

    def _write(self, connection: sqlite3.Connection, answers: Sequence[tuple[bytes, bytes]]) -> int:
        with _transaction(connection):
            if not self._make_room(connection, sum(len(data) for _, data in answers)):
                return 0
            connection.executemany(
                "INSERT INTO entry (key, seal, bytes, used) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE "
                "SET seal = excluded.seal, bytes = excluded.bytes, used = excluded.used",
                [(key, _seal(key, hashlib.sha256(data).digest()), len(data), self._now) for key, data in answers],
            )
            connection.executemany(
                "INSERT OR REPLACE INTO body SELECT id, ? FROM entry WHERE key = ?",
                [(data, key) for key, data in answers],
            )
        return len(answers)

    def _make_room(self, connection: sqlite3.Connection, wanted: int) -> bool:
        """Let go what no run has used for longest, but nothing that this run used: a working set larger than the limit
        then keeps the part that fits, where throwing out the oldest would find none of it again.
        """
        if _size(connection) + wanted <= self._limit:
            return True
        excess = _size(connection) + wanted - self._limit + self._limit // _SLACK
        going: list[tuple[int]] = []
        for number, size in connection.execute(
            "SELECT id, bytes FROM entry WHERE used < ? ORDER BY used", (self._now,)
        ):
            if excess <= 0:
                break
            going.append((number,))
            excess -= size
        connection.executemany("DELETE FROM body WHERE id = ?", going)
        connection.executemany("DELETE FROM entry WHERE id = ?", going)
        return _size(connection) + wanted <= self._limit

    def _safely(self, work: Callable[[sqlite3.Connection, A], T], given: A, otherwise: T) -> T:
        """Whatever is wrong with the file, the caller's own work goes on; a damaged file is begun anew, once."""
        for last in (False, True):
            if self._file is None:
                return otherwise
            try:
                return work(self._opened(self._file), given)
            except (sqlite3.DatabaseError, OSError) as error:
                self.close()
                damaged = getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE and not last
                _log.warning(
                    "The memo %s %s: %s.", self._file, "is damaged and begun anew" if damaged else "is not used", error
                )
                self._file = _removed(self._file) if damaged else None
        return otherwise

    def _opened(self, file: Path) -> sqlite3.Connection:
        if self._connection is None:
            # It holds pictures of patients: its owner's alone.
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.touch(mode=0o600)
            connection = self._connection = sqlite3.connect(file, timeout=_PATIENCE_SECONDS, isolation_level=None)
            for setting in (f"page_size = {_PAGE_BYTES}", "synchronous = OFF", "cell_size_check = ON"):
                connection.execute(f"PRAGMA {setting}")
            with _transaction(connection):
                for table in _TABLES:
                    connection.execute(table)
                self._now = connection.execute("SELECT 1 + coalesce(max(used), 0) FROM entry").fetchone()[0]
        return self._connection


def recipe(kind: str, *, code: Sequence[str], libraries: Sequence[str], parameters: Mapping[str, Any]) -> str:
    """``sha256:<hex>`` of all that turns an input's bytes into an answer.

    Args:
        kind: What the answer is, e.g. ``picture``.
        code: Files and folders of this package that are run, relative to it.
        libraries: Distributions that are run; one that is not installed counts as that.
        parameters: Plain JSON.
    """
    return digest_value(
        {
            "kind": kind,
            "code": {path.relative_to(_PACKAGE).as_posix(): digest_file(path) for path in code_files(code)},
            "libraries": {name: _version(name) for name in libraries},
            "parameters": dict(parameters),
        }
    )


def code_files(code: Sequence[str]) -> list[Path]:
    """The files that ``recipe`` takes the digests of: each one named, and every module directly in a folder named."""
    places = [_PACKAGE / name for name in code]
    return sorted(file for place in places for file in (place.glob("*.py") if place.is_dir() else [place]))


def memo_key(recipe: str, sha256: str) -> bytes:
    """An answer's key: the recipe and the digest of the input's bytes."""
    return hashlib.sha256(f"{recipe}\n{sha256}".encode()).digest()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        # Where the fault was in the file, SQLite has rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _seal(key: bytes, digest: bytes) -> bytes:
    """Binds an answer to its key: equal only for the bytes that were put under it."""
    return hashlib.sha256(key + digest).digest()


def _size(connection: sqlite3.Connection) -> int:
    """Bytes of the file that hold something; the rest of it is filled before the file grows."""
    pages, free = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
    return (pages - free) * _PAGE_BYTES


def _removed(file: Path) -> Path | None:
    try:
        # The journal speaks of the file that goes.
        file.with_name(f"{file.name}-journal").unlink(missing_ok=True)
        file.unlink(missing_ok=True)
    except OSError:
        return None
    return file


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"
