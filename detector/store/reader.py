"""Opening a database for queries and exports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

from detector.store.database import connect_reader, explained
from detector.store.schema import refuse_newer, refuse_older


@contextmanager
def open_reader(path: Path) -> Iterator[Database]:
    """A database that can be read while another process writes it.

    Raises
    ------
    StoreError
        If it cannot be opened, is newer or older than the program, or fails while it is read.
    """
    with explained(path):
        db = connect_reader(path)
        try:
            refuse_newer(db)
            refuse_older(db)
            yield db
        finally:
            db.close()
