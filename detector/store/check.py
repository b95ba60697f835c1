"""Whether a database is whole, for people who ask what is wrong."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from detector.errors import StoreError
from detector.store.effort import effort_balance
from detector.store.reader import open_reader


def check_database(path: Path) -> str:
    """One line on a sound database.

    Raises
    ------
    StoreError
        If it cannot be read, SQLite finds it damaged, or its ledger of effort does not add up.
    """
    with open_reader(path) as db:
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise StoreError(f"{path} is damaged: {verdict}", "keep a copy, and replay the recordings into a new one with --db")
        balance = effort_balance(db)
        if balance.faults:
            fault = balance.faults[0]
            raise StoreError(
                f"{path}: the effort of {len(balance.faults)} segments does not add up, first {fault.segment_id} at sample {fault.sample}: "
                f"{fault.problem}",
                "this is a fault of the program: report it with this message",
            )
        (recordings,) = db.execute("SELECT count(*) FROM recording WHERE is_current = 1").fetchone()
        (events,) = db.execute("SELECT coalesce(sum(n_candidates), 0) FROM analysis WHERE is_active = 1").fetchone()
    return (
        f"{path}: {recordings} recordings, {balance.analysed_s / 3600:.1f} h analysed, {balance.lost_s / 3600:.2f} h lost, "
        f"{events} candidates; SQLite {sqlite3.sqlite_version}"
    )
