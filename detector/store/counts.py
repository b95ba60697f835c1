"""Counts by day, class and station at any threshold, exact and quick: whole bins from the rollup, the rest from one index."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple, TypeAlias

from sqlite_utils import Database

from detector.errors import StoreError
from detector.store.places import find
from detector.store.rollup import EDGES
from detector.store.tables import EDGE_COLUMNS

_WHOLE = "SELECT head, label, station_id, day, {column} FROM rollup WHERE {column} > 0 AND run_id = coalesce(:run_id, run_id)"

_WHOLE_IN_FORCE = """
SELECT head, label, station_id, day, {column}
FROM (SELECT run_id, head, label, station_id FROM threshold_in_force WHERE min_confidence = :in_force) AS force
CROSS JOIN rollup USING (run_id, head, label, station_id) WHERE {column} > 0 AND run_id = coalesce(:run_id, run_id)"""

# Not grouped here: of so few rows a dict in Python is quicker than a temporary tree in SQLite.
_REST = """
SELECT analysis.head, event.label, analysis.station_id, event.day
FROM json_each((SELECT json_group_array(DISTINCT day) FROM rollup)) AS present
CROSS JOIN event ON event.day = present.value AND event.confidence >= :low AND event.confidence < :high
CROSS JOIN analysis ON analysis.analysis_id = event.analysis_id AND analysis.is_active = 1
{scopes} WHERE event.rejected_because IS NULL AND analysis.run_id = coalesce(:run_id, analysis.run_id)"""

_SCOPES = """JOIN (SELECT run_id, head, label, station_id FROM threshold_in_force WHERE min_confidence = :in_force) AS force
ON force.run_id = analysis.run_id AND force.head = analysis.head AND force.label = event.label AND force.station_id = analysis.station_id"""

_Counts: TypeAlias = defaultdict[tuple[str, str, int, str], int]


class DayCount(NamedTuple):
    """Events of one class at one station on one day.

    Attributes
    ----------
    head, label, station, day : str
        The day in UTC, such as "2026-04-01"; by the recorder's clock where UTC is not known; else "unknown".
    n_events : int
        At least 1: for days without, see the effort.
    """

    head: str
    label: str
    station: str
    day: str
    n_events: int


def count_days(db: Database, min_confidence: float | None = None, run_id: str | None = None) -> list[DayCount]:
    """Active events by class, station and day.

    Parameters
    ----------
    db : sqlite_utils.Database
    min_confidence : float or None
        None: each class and station at its threshold in force.
    run_id : str or None
        What this run found, as far as it is active; None: of all runs.

    Raises
    ------
    StoreError
        If the run is not in the database.
    """
    run = None if run_id is None else find(db, "run", {"run_uuid": run_id})
    if run_id is not None and run is None:
        raise StoreError(f"run {run_id!r} is not in the database", "see the column run_uuid of table run")
    counts: _Counts = defaultdict(int)
    if min_confidence is not None:
        _count(db, counts, min_confidence, None, run)
    else:
        for (value,) in db.execute("SELECT DISTINCT min_confidence FROM threshold_in_force").fetchall():
            _count(db, counts, value, value, run)
    stations = dict(db.execute("SELECT station_id, name FROM station").fetchall())
    return [DayCount(head, label, stations[place], day, count) for (head, label, place, day), count in counts.items() if count]


def _count(db: Database, counts: _Counts, at_least: float, in_force: float | None, run: int | None) -> None:
    """Add the counts at the nearest edge of the rollup, and set right what lies between; where this threshold is in force, or all."""
    edges = {0.0: "n_candidates", **dict(zip(EDGES, EDGE_COLUMNS, strict=True))}
    edge = min(edges, key=lambda one: abs(one - at_least))
    whole = _WHOLE if in_force is None else _WHOLE_IN_FORCE
    for head, label, place, day, count in db.execute(whole.format(column=edges[edge]), {"run_id": run, "in_force": in_force}):
        counts[head, label, place, day] += count
    if edge == at_least:
        return
    low, high, sign = (at_least, edge, 1) if at_least < edge else (edge, at_least, -1)
    rest = _REST.format(scopes="" if in_force is None else _SCOPES)
    for cell in db.execute(rest, {"low": low, "high": high, "run_id": run, "in_force": in_force}):
        counts[cell] += sign
