"""Counts by day, class and station at any threshold, exact and quick: whole bins from the rollup, the rest from one index."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from sqlite_utils import Database

from detector.store.tables import EDGE_COLUMNS, EDGES_PCT

_Cell = tuple[int, str, str, int, str]

_REST = """
SELECT analysis.run_id, analysis.head, event.label, analysis.station_id, event.day, count(*)
FROM json_each(?) AS present CROSS JOIN event ON event.day = present.value
JOIN analysis ON analysis.analysis_id = event.analysis_id AND analysis.is_active = 1
WHERE event.confidence >= ? AND event.confidence < ? AND event.rejected_because IS NULL
GROUP BY 1, 2, 3, 4, 5"""


@dataclass(frozen=True, slots=True)
class DayCount:
    """Events of one class at one station on one day.

    Attributes
    ----------
    day : str
        In UTC, such as "2026-04-01"; by the recorder's clock where UTC is not known; else "unknown".
    head, label, station : str
    count : int
        At least 1: for days without, see the effort.
    """

    day: str
    head: str
    label: str
    station: str
    count: int


def count_days(db: Database, min_confidence: float | None = None) -> list[DayCount]:
    """Active events by day, class and station.

    Parameters
    ----------
    db : sqlite_utils.Database
    min_confidence : float or None
        None: each class and station at its threshold in force.
    """
    cells: Counter[_Cell] = Counter()
    if min_confidence is not None:
        cells.update(_count_cells(db, min_confidence))
    else:
        force: dict[float, set[tuple[int, str, str, int]]] = {}
        for run_id, head, label, station_id, value in db.execute(
            "SELECT run_id, head, label, station_id, min_confidence FROM threshold_in_force"
        ):
            force.setdefault(value, set()).add((run_id, head, label, station_id))
        for value, scopes in force.items():
            cells.update({cell: count for cell, count in _count_cells(db, value).items() if cell[:4] in scopes})
    stations = dict(db.execute("SELECT station_id, name FROM station").fetchall())
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for (_, head, label, station_id, day), count in cells.items():
        counts[day, head, label, stations[station_id]] += count
    return [DayCount(*key, count) for key, count in sorted(counts.items()) if count]


def _count_cells(db: Database, at_least: float) -> Counter[_Cell]:
    """Counts by run, head, class, station and day."""
    edge, column = min(_edges(), key=lambda one: abs(one[0] - at_least))
    days = [day for (day,) in db.execute("SELECT DISTINCT day FROM rollup")]
    cells: Counter[_Cell] = Counter()
    for *cell, count in db.execute(f"SELECT run_id, head, label, station_id, day, {column} FROM rollup WHERE {column} > 0"):
        cells[_cell(cell)] = count
    low, high, sign = (at_least, edge, 1) if at_least < edge else (edge, at_least, -1)
    if low < high:
        for *cell, count in db.execute(_REST, [json.dumps(days), low, high]):
            cells[_cell(cell)] += sign * count
    return cells


def _edges() -> Iterator[tuple[float, str]]:
    yield 0.0, "n_candidates"
    yield from zip((edge / 100 for edge in EDGES_PCT), EDGE_COLUMNS, strict=True)


def _cell(values: list[int | str]) -> _Cell:
    run_id, head, label, station_id, day = values
    return int(run_id), str(head), str(label), int(station_id), str(day)
