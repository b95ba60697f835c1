"""All rows of a database in a form in which two databases can be compared: row numbers replaced by what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlite_utils import Database

from detector.store.reader import open_reader

KEYS = {
    "station": "SELECT station_id, name FROM station",
    "deployment": "SELECT deployment_id, station.name || '/' || deployment.name FROM deployment JOIN station USING (station_id)",
    "source": "SELECT source_id, kind || '/' || channel || '/' || source.name FROM source",
    "run": "SELECT run_id, run_uuid FROM run",
    "recording": "SELECT recording_id, recording_uuid FROM recording",
    "segment": "SELECT segment_id, segment_uuid FROM segment",
    "analysis": "SELECT analysis_id, run_uuid || segment_uuid || head FROM analysis NATURAL JOIN run NATURAL JOIN segment",
}
OWN_NUMBERS = {"event": "event_id", "effort": "effort_id", "threshold": "threshold_id"}
WALL_CLOCK = {"created_ns", "created_utc", "applied_at"}


def canonical(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Table name to its rows, in an order that does not depend on when they were written."""
    with open_reader(path) as db:
        names = {table: dict(db.execute(sql).fetchall()) for table, sql in KEYS.items()}
        return {table: _rows(db, table, names) for table in db.table_names() if table != "about"}


def _rows(db: Database, table: str, names: dict[str, dict[int, str]]) -> list[tuple[Any, ...]]:
    rows = []
    for row in db.query(f"SELECT * FROM [{table}]"):
        cells = []
        for column, value in row.items():
            if column in WALL_CLOCK or column == OWN_NUMBERS.get(table) or (table == "_sqlite_migrations" and column == "id"):
                continue
            target = "recording" if column == "duplicate_of" else column.removesuffix("_id")
            known = names.get(target) if column.endswith("_id") or column == "duplicate_of" else None
            cells.append(value if known is None or value is None else known[value])
        rows.append(tuple(cells))
    return sorted(rows, key=repr)
