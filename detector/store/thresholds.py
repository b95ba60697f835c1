"""Thresholds: append-only versions. What holds is a view, so that a change re-runs nothing and can be taken back."""

from __future__ import annotations

from dataclasses import dataclass

from sqlite_utils import Database

from detector.store.rows import RunInfo


@dataclass(frozen=True, slots=True)
class ThresholdVersion:
    """One version of a threshold.

    Attributes
    ----------
    bundle_hash, head : str
    label : str or None
        None for all classes of the head.
    station_id : int or None
        None for all stations. Of several scopes the narrowest holds: class and station, class, station, all.
    min_confidence : float or None
        None gives the scope up, so that a wider one holds again.
    method, chosen_by : str
    precision_low, precision_high : float or None
        Interval of the precision, when it was measured.
    n_reviewed : int
    """

    bundle_hash: str
    head: str
    label: str | None
    station_id: int | None
    min_confidence: float | None
    method: str
    chosen_by: str
    precision_low: float | None = None
    precision_high: float | None = None
    n_reviewed: int = 0


def add_threshold(db: Database, version: ThresholdVersion, now_ns: int) -> int:
    """Append a version, inside a transaction, and give its number."""
    cursor = db.execute(
        """INSERT INTO threshold (bundle_hash, head, label, station_id, min_confidence, method, chosen_by,
            precision_low, precision_high, n_reviewed, created_ns, created_utc)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, strftime('%Y-%m-%dT%H:%M:%SZ', ?, 'unixepoch'))""",
        [
            version.bundle_hash,
            version.head,
            version.label,
            version.station_id,
            version.min_confidence,
            version.method,
            version.chosen_by,
            version.precision_low,
            version.precision_high,
            version.n_reviewed,
            now_ns,
            now_ns // 1_000_000_000,
        ],
    )
    return int(cursor.lastrowid or 0)


def add_card_thresholds(db: Database, run: RunInfo, now_ns: int) -> None:
    """The card's default of every class that has no version of any scope yet under this bundle."""
    for info in run.classes:
        known = db.execute(
            "SELECT 1 FROM threshold WHERE bundle_hash = ? AND head = ? AND label = ?", [run.bundle_hash, info.head, info.label]
        ).fetchone()
        if known is None:
            version = ThresholdVersion(run.bundle_hash, info.head, info.label, None, info.threshold, "default of the card", "card")
            add_threshold(db, version, now_ns)
