"""Numbered migrations: how a database of any age becomes one of today."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlite_utils import Database, Migrations

from detector.errors import StoreError
from detector.store import tables, views
from detector.store.database import APPLICATION_ID, Writer

Steps = Mapping[str, Callable[[Database], None]]


def _ground(db: Database) -> None:
    for statement in tables.TABLES:
        db.conn.execute(statement)
    db.conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    _describe(db, tables.MEANING)


STEPS: Steps = {"0001 recordings, effort, candidates, thresholds": _ground}
"""Name and work of every migration, oldest first. A step that has been released is never changed."""


def migrate(writer: Writer, steps: Steps = STEPS) -> None:
    """Bring the database up to date: all pending migrations, their records and the views in one transaction.

    Raises
    ------
    StoreError
        If the database was made by a newer program.
    """
    refuse_newer(writer.db, steps)
    migrations = _migrations(steps)
    if not migrations.pending(writer.db):
        return
    with writer.transaction() as db:
        for name in views.VIEWS:
            db.conn.execute(f"DROP VIEW IF EXISTS {name}")
        migrations.apply(db)
        for statement in views.VIEWS.values():
            db.conn.execute(statement)
        _describe(db, views.MEANING)


def refuse_newer(db: Database, steps: Steps = STEPS) -> None:
    """Raise if the database holds migrations that this program does not know.

    Raises
    ------
    StoreError
        With the name of the newest.
    """
    newer = [step.name for step in _migrations(steps).applied(db) if step.name not in steps]
    if newer:
        raise StoreError(
            f"the database was made by a newer version of the program (it has {newer[-1]!r})",
            "update the program, or name another database with --db; this one is left as it is",
        )


def refuse_older(db: Database, steps: Steps = STEPS) -> None:
    """Raise if migrations are pending, which only a writer can apply.

    Raises
    ------
    StoreError
    """
    if _migrations(steps).pending(db):
        raise StoreError(
            "the database was made by an older version of the program and must be brought up to date first",
            "run `detector replay` on it with any recording; it changes no detection",
        )


def _migrations(steps: Steps) -> Migrations:
    migrations = Migrations("detector")
    for name, work in steps.items():
        migrations(name=name)(work)
    return migrations


def _describe(db: Database, meaning: Mapping[str, str]) -> None:
    db.conn.executemany("INSERT OR REPLACE INTO about (name, meaning) VALUES (?, ?)", list(meaning.items()))
