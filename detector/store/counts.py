"""Counts by day, class and station at any threshold, exact and quick: whole bins from the rollup, the rest from one index."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from sqlite_utils import Database

from detector.store.rollup import EDGES
from detector.store.tables import EDGE_COLUMNS

_WHOLE = """
SELECT head, label, station.name, day, sum({column}) FROM rollup JOIN station USING (station_id)
WHERE {column} > 0 GROUP BY run_id, head, label, station_id, day"""

_WHOLE_IN_FORCE = """
SELECT head, label, force.station, day, sum({column})
FROM (SELECT run_id, head, label, station_id, station FROM threshold_in_force WHERE min_confidence = ?) AS force
CROSS JOIN rollup USING (run_id, head, label, station_id)
WHERE {column} > 0 GROUP BY run_id, head, label, station_id, day"""

_REST = """
SELECT analysis.head, event.label, station.name, event.day, count(*)
FROM json_each((SELECT json_group_array(DISTINCT day) FROM rollup)) AS present
CROSS JOIN event ON event.day = present.value AND event.confidence >= ? AND event.confidence < ?
CROSS JOIN analysis ON analysis.analysis_id = event.analysis_id AND analysis.is_active = 1
JOIN station ON station.station_id = analysis.station_id
{scopes} WHERE event.rejected_because IS NULL
GROUP BY 1, 2, 3, 4"""

_SCOPES = """JOIN (SELECT run_id, head, label, station_id FROM threshold_in_force WHERE min_confidence = ?) AS force
ON force.run_id = analysis.run_id AND force.head = analysis.head AND force.label = event.label AND force.station_id = analysis.station_id"""


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


def count_days(db: Database, min_confidence: float | None = None) -> list[DayCount]:
    """Active events by class, station and day.

    Parameters
    ----------
    db : sqlite_utils.Database
    min_confidence : float or None
        None: each class and station at its threshold in force.
    """
    counts: defaultdict[tuple[str, str, str, str], int] = defaultdict(int)
    if min_confidence is not None:
        _count(db, counts, min_confidence, in_force=False)
    else:
        for (value,) in db.execute("SELECT DISTINCT min_confidence FROM threshold_in_force").fetchall():
            _count(db, counts, value, in_force=True)
    return [DayCount(*cell, count) for cell, count in counts.items() if count]


def _count(db: Database, counts: defaultdict[tuple[str, str, str, str], int], at_least: float, in_force: bool) -> None:
    """Add the counts at the nearest edge of the rollup, and set right what lies between; one threshold's scopes only, or all."""
    edges = {0.0: "n_candidates", **dict(zip(EDGES, EDGE_COLUMNS, strict=True))}
    edge = min(edges, key=lambda one: abs(one - at_least))
    scope = [at_least] if in_force else []
    whole = _WHOLE_IN_FORCE if in_force else _WHOLE
    for head, label, station, day, count in db.execute(whole.format(column=edges[edge]), scope):
        counts[head, label, station, day] += count
    if edge == at_least:
        return
    low, high, sign = (at_least, edge, 1) if at_least < edge else (edge, at_least, -1)
    rest = _REST.format(scopes=_SCOPES if in_force else "")
    for head, label, station, day, count in db.execute(rest, [low, high, *scope]):
        counts[head, label, station, day] += sign * count
