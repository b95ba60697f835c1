"""Opening the SQLite file: one writer at a time under a lock file, readers that cannot write.

SQLite before 3.51.3 can corrupt a database in WAL mode when two connections write and checkpoint at the same instant.
Therefore every write transaction, checkpoint and close of every process holds the lock file beside the database.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlite_utils import Database

from detector.errors import StoreError
from detector.store.lock import LockFile
from detector.store.place import refuse_network_drive

APPLICATION_ID = 0x46444554
"""Marks the file as ours in its header: "FDET"."""

CHECKPOINT_BYTES = 2 * 1024 * 1024
BUSY_TIMEOUT_MS = 10_000
CACHE_KIB = 16_384
_MAGIC = b"SQLite format 3\x00"
_ADVICE = {
    "disk is full": "free some space and run the same command again; what was committed is safe",
    "quota": "free some space and run the same command again; what was committed is safe",
    "readonly": "put the database where this user may write: store.path in config.yaml, or --db",
    "unable to open": "check that the folder exists and that this user may write in it",
    "disk I/O error": "the disk fails or has become read-only: look at the system log; what was committed is safe",
    "locked": "another program holds the database: close it, or wait, and run the same command again",
    "malformed": "the file is damaged: keep a copy, and start a new one with --db; recordings can be replayed again",
    "not a database": "the file is damaged or not SQLite: name another one with --db",
}


class Writer:
    """The connection that writes.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    db : sqlite_utils.Database
        Reads are free; writes belong in `transaction`.

    Raises
    ------
    StoreError
        If the place or the file does not allow it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        refuse_network_drive(path)
        if not path.parent.is_dir():
            raise StoreError(f"{path.parent} is not a folder, so {path.name} cannot be made there", "make the folder, or use --db")
        _check_header(path)
        self.committed = False
        self.lock = LockFile(path.with_name(path.name + ".lock"))
        try:
            with explained(path), self.lock.held():
                self.db = _connect(path)
                _check_owner(self.db, path)
                self.db.conn.execute("PRAGMA journal_mode = WAL")
        except BaseException:
            self.lock.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[Database]:
        """All or nothing, under the lock, on disk when it returns.

        Raises
        ------
        StoreError
            If SQLite fails; nothing has been written then.
        """
        self.committed = committing = False
        with explained(self.path), self.lock.held():
            self.db.conn.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
                committing = True
                self.db.conn.execute("COMMIT")
                self.committed = True
            except BaseException:
                self.committed = committing and not self.db.conn.in_transaction
                if self.db.conn.in_transaction:
                    self.db.conn.execute("ROLLBACK")
                raise

    def checkpoint_if_due(self) -> None:
        """Move the log into the database when it has grown; readers that hold it back only postpone that."""
        wal = self.path.with_name(self.path.name + "-wal")
        if wal.exists() and wal.stat().st_size > CHECKPOINT_BYTES:
            with explained(self.path), self.lock.held():
                self.db.conn.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Checkpoint and close, under the lock."""
        try:
            with self.lock.held():
                self.db.close()
        finally:
            self.lock.close()


def connect_reader(path: Path) -> Database:
    """A connection that cannot write. `detector.store.reader.open_reader` also checks the age of the tables.

    Raises
    ------
    StoreError
        If there is no such file, it is not ours, or SQLite cannot read it where it lies.
    """
    if not path.is_file():
        raise StoreError(f"there is no database {path}", "name it with --db; `detector replay` makes one")
    refuse_network_drive(path)
    _check_header(path)
    with explained(path):
        db = _connect_readonly(path)
        _check_owner(db, path)
    return db


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into a StoreError that says what to do."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        text = str(error)
        hint = next((advice for words, advice in _ADVICE.items() if words in text), "")
        raise StoreError(f"{path}: {text}", hint) from error
    except OSError as error:
        raise StoreError(f"{path}: {error}", "check the disk, and that this user may write there") from error


def _connect(path: Path) -> Database:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None)
    db = Database(connection, execute_plugins=False)
    for pragma in (
        "synchronous = FULL",
        "foreign_keys = ON",
        "wal_autocheckpoint = 0",
        f"journal_size_limit = {CHECKPOINT_BYTES // 4}",
        f"cache_size = -{CACHE_KIB}",
        "mmap_size = 0",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return db


def _connect_readonly(path: Path) -> Database:
    """Ordinary reading first; on a read-only medium as an unchanging file, if no log lies beside it."""
    uri = f"file:{quote(str(path.resolve()))}?mode=ro"
    try:
        return _query_only(uri)
    except sqlite3.OperationalError as error:
        if not any(words in str(error) for words in ("unable to open", "readonly", "read-only")):
            raise
        wal = path.with_name(path.name + "-wal")
        if wal.exists() and wal.stat().st_size:
            raise StoreError(
                f"{path} lies where nothing can be written, and its newest rows are still in {wal.name}",
                "copy both files to a folder where this user may write, and read the copy",
            ) from error
        return _query_only(uri + "&immutable=1")


def _query_only(uri: str) -> Database:
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None)
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return Database(connection, recursive_triggers=False, execute_plugins=False)


def _check_header(path: Path) -> None:
    with explained(path):
        if not path.exists() or path.stat().st_size == 0:
            return
        if not path.is_file():
            raise StoreError(f"{path} is not a file", "name a file with --db")
        with path.open("rb") as stream:
            start = stream.read(len(_MAGIC))
    if start != _MAGIC:
        raise StoreError(f"{path} is not a SQLite file: it begins with {start!r}", "name another file with --db; this one is left as it is")


def _check_owner(db: Database, path: Path) -> None:
    """An empty database may become ours; any other must carry our mark."""
    (mark,) = db.execute("PRAGMA application_id").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if mark != APPLICATION_ID and (mark != 0 or tables):
        db.close()
        raise StoreError(f"{path} is a database of another program", "name another file with --db; this one is left as it is")
