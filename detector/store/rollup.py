"""Counts by day, class and station, kept in step with the active analyses."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from itertools import accumulate

from sqlite_utils import Database

from detector.store.tables import EDGE_COLUMNS, EDGES_PCT

EDGES = tuple(edge / 100 for edge in EDGES_PCT)

_KEYS = ("run_id", "head", "label", "station_id", "day")
_COUNTS = ("n_candidates", *EDGE_COLUMNS)
_ADD = (
    f"INSERT INTO rollup ({', '.join((*_KEYS, *_COUNTS))}) VALUES ({', '.join('?' * len((*_KEYS, *_COUNTS)))}) "
    f"ON CONFLICT ({', '.join(_KEYS)}) DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in _COUNTS)}"
)
_DROP_EMPTY = f"DELETE FROM rollup WHERE {' AND '.join(f'{name} = ?' for name in _KEYS)} AND n_candidates = 0"


def counts_at_edges(confidences: Iterable[float]) -> list[int]:
    """How many confidences there are, and how many reach each edge: (1 + edges) numbers."""
    reached = [0] * (len(EDGES) + 1)
    for confidence in confidences:
        reached[bisect_right(EDGES, confidence)] += 1
    return list(accumulate(reversed(reached)))[::-1]


def shift(db: Database, analysis_id: int, sign: int) -> None:
    """Add the candidates of an analysis (sign 1) to the counts, or take them away (sign -1)."""
    run_id, head, station_id = db.execute(
        "SELECT run_id, head, station_id FROM analysis WHERE analysis_id = ?", [analysis_id]
    ).fetchone()
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    rows = db.execute("SELECT label, day, confidence FROM event WHERE analysis_id = ? AND rejected_because IS NULL", [analysis_id])
    for label, day, confidence in rows:
        groups[label, day].append(confidence)
    cells = [(run_id, head, label, station_id, day) for label, day in groups]
    counts = [[sign * count for count in counts_at_edges(confidences)] for confidences in groups.values()]
    db.conn.executemany(_ADD, [(*cell, *numbers) for cell, numbers in zip(cells, counts, strict=True)])
    if sign < 0:
        db.conn.executemany(_DROP_EMPTY, cells)
