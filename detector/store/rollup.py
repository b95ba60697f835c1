"""Counts by day, class and station, kept in step with the active analyses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from sqlite_utils import Database

from detector.store.tables import EDGE_COLUMNS, EDGES_PCT

EDGES = np.array(EDGES_PCT, dtype=np.float64) / 100.0

_KEYS = ("run_id", "head", "label", "station_id", "day")
_COUNTS = ("n_candidates", *EDGE_COLUMNS)
_ADD = (
    f"INSERT INTO rollup ({', '.join((*_KEYS, *_COUNTS))}) VALUES ({', '.join('?' * len((*_KEYS, *_COUNTS)))}) "
    f"ON CONFLICT ({', '.join(_KEYS)}) DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in _COUNTS)}"
)


def counts_at_edges(confidences: Iterable[float]) -> list[int]:
    """How many confidences there are, and how many reach each edge: (1 + edges) numbers."""
    values = np.fromiter(confidences, dtype=np.float64)
    reached = np.bincount(np.searchsorted(EDGES, values, side="right"), minlength=len(EDGES) + 1)
    return [int(count) for count in np.cumsum(reached[::-1])[::-1]]


def shift(db: Database, analysis_id: int, sign: int) -> None:
    """Add the candidates of an analysis (sign 1) to the counts, or take them away (sign -1)."""
    run_id, head, station_id = db.execute(
        "SELECT run_id, head, station_id FROM analysis WHERE analysis_id = ?", [analysis_id]
    ).fetchone()
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    rows = db.execute("SELECT label, day, confidence FROM event WHERE analysis_id = ? AND rejected_because IS NULL", [analysis_id])
    for label, day, confidence in rows:
        groups[label, day].append(confidence)
    for (label, day), confidences in groups.items():
        counts = [sign * count for count in counts_at_edges(confidences)]
        db.execute(_ADD, [run_id, head, label, station_id, day, *counts])
        if sign < 0:
            db.execute(
                "DELETE FROM rollup WHERE run_id = ? AND head = ? AND label = ? AND station_id = ? AND day = ? AND n_candidates = 0",
                [run_id, head, label, station_id, day],
            )
