"""Reading candidates and detections, one at a time, however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlite_utils import Database

from detector.errors import ExportError
from detector.store.rows import Row
from detector.store.views import candidate_select

COLUMNS = (
    "event_uuid",
    "station",
    "recording",
    "channel",
    "head",
    "label",
    "confidence",
    "threshold",
    "start_s",
    "end_s",
    "start_utc",
    "start_local",
    "low_hz",
    "high_hz",
    "logit_mean",
    "logit_max",
    "logit_top",
    "n_frames",
    "is_linked",
    "start_sample",
    "end_sample",
    "sample_rate_hz",
    "start_ns",
    "end_ns",
    "bundle",
    "run_uuid",
    "segment_uuid",
)
"""What an event is told with, in this order."""

_ORDER = "station, recording, channel, start_sample, head, label"


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are wanted.

    Attributes
    ----------
    since_ns, until_ns : int or None
        Start in UTC, nanoseconds since 1970: from, and before. Events without a known time are left out when one is given.
    labels : tuple of str
        Classes; empty for all.
    min_confidence : float or None
        None: at or above the threshold in force. A number: all candidates at or above it.
    run_id : str or None
        None: the active analyses. An id: what that run found, whether it is in force or not.
    station : str or None
        None for all.
    """

    since_ns: int | None = None
    until_ns: int | None = None
    labels: tuple[str, ...] = ()
    min_confidence: float | None = None
    run_id: str | None = None
    station: str | None = None


def iterate_events(db: Database, wanted: EventFilter) -> Iterator[Row]:
    """Events as dicts with `COLUMNS`, in the order of station, recording, channel and time.

    Raises
    ------
    ExportError
        If a class, station or run is not in the database, or the confidence is below the floor.
    """
    check_filter(db, wanted)
    source, conditions, values = _query(wanted)
    if wanted.since_ns is not None:
        conditions.append("start_ns >= ?")
        values.append(wanted.since_ns)
    if wanted.until_ns is not None:
        conditions.append("start_ns < ?")
        values.append(wanted.until_ns)
    sql = f"SELECT {', '.join(COLUMNS)} FROM ({source}) WHERE {' AND '.join(conditions)} ORDER BY {_ORDER}"
    return (dict(zip(COLUMNS, fields, strict=True)) for fields in db.execute(sql, values))


def count_without_time(db: Database, wanted: EventFilter) -> int:
    """How many events a limit in time leaves out because their time is not known."""
    if wanted.since_ns is None and wanted.until_ns is None:
        return 0
    source, conditions, values = _query(wanted)
    row = db.execute(f"SELECT count(*) FROM ({source}) WHERE start_ns IS NULL AND {' AND '.join(conditions)}", values).fetchone()
    return int(row[0])


def check_filter(db: Database, wanted: EventFilter) -> None:
    """Raise if something is asked for that the database cannot have.

    Raises
    ------
    ExportError
    """
    labels = [label for (label,) in db.execute("SELECT DISTINCT label FROM run_class ORDER BY label")]
    for label in wanted.labels:
        if label not in labels:
            raise ExportError(f"class {label!r} is not in the database", f"classes here: {', '.join(labels) if labels else 'none yet'}")
    if wanted.station is not None:
        stations = [name for (name,) in db.execute("SELECT name FROM station ORDER BY name")]
        if wanted.station not in stations:
            raise ExportError(f"station {wanted.station!r} is not in the database", f"stations here: {', '.join(stations)}")
    if wanted.run_id is not None and not db.execute("SELECT 1 FROM run WHERE run_uuid = ?", [wanted.run_id]).fetchone():
        raise ExportError(f"run {wanted.run_id!r} is not in the database", "see the column run_uuid of table run")
    if wanted.min_confidence is not None:
        _check_floor(db, wanted.min_confidence, wanted.run_id)


def _check_floor(db: Database, min_confidence: float, run_id: str | None) -> None:
    if not 0 <= min_confidence <= 1:
        raise ExportError(f"a confidence of {min_confidence} is asked for", "it lies between 0 and 1")
    if run_id is None:
        row = db.execute("SELECT max(floor) FROM run WHERE run_id IN (SELECT run_id FROM analysis WHERE is_active = 1)").fetchone()
    else:
        row = db.execute("SELECT floor FROM run WHERE run_uuid = ?", [run_id]).fetchone()
    if row[0] is not None and min_confidence < row[0]:
        raise ExportError(
            f"a confidence of {min_confidence} is below the floor of {row[0]}, under which nothing was stored",
            "ask for more, or lower events.floor in config.yaml and replay",
        )


def _query(wanted: EventFilter) -> tuple[str, list[str], list[object]]:
    """Source, conditions and values, less the limits in time."""
    source = "SELECT * FROM candidate"
    conditions: list[str] = []
    values: list[object] = []
    if wanted.run_id is not None:
        source = candidate_select("analysis.state = 'complete'")
        conditions.append("run_uuid = ?")
        values.append(wanted.run_id)
    if wanted.min_confidence is None:
        conditions.append("confidence >= threshold")
    else:
        conditions.append("confidence >= ?")
        values.append(wanted.min_confidence)
    if wanted.labels:
        conditions.append(f"label IN ({', '.join('?' * len(wanted.labels))})")
        values += wanted.labels
    if wanted.station is not None:
        conditions.append("station = ?")
        values.append(wanted.station)
    return source, conditions, values
