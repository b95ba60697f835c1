"""Give stored recordings another start time: a time zone or name pattern became known later, or the file was renamed.

Samples and ids do not depend on UTC, so nothing is analysed again; only what was derived from the clock is derived anew.
"""

from __future__ import annotations

from sqlite_utils import Database

from detector.store import rollup
from detector.store.places import ensure
from detector.store.recordings import start_facts
from detector.store.rows import event_day
from detector.timeline import NANOSECONDS, Clock, ClockKnot
from detector.types import StartTime


def restamp(db: Database, recording_uuid: str, start: StartTime) -> None:
    """Set the start of a recording, and the times of everything in the segments that it is a part of."""
    key = ensure(db, "recording", {"recording_uuid": recording_uuid}, start_facts(start))
    segments = db.execute("SELECT segment_id FROM segment_recording WHERE recording_id = ? ORDER BY segment_id", [key]).fetchall()
    for (segment_id,) in segments:
        _restamp_segment(db, segment_id)


def _restamp_segment(db: Database, segment_id: int) -> None:
    rate, offset, began_ns, uncertainty_ns, provenance = db.execute(
        """SELECT segment.sample_rate_hz, part.offset_samples, recording.start_ns, start_uncertainty_ns, start_provenance
        FROM segment JOIN segment_recording AS part USING (segment_id) JOIN recording USING (recording_id)
        WHERE segment.segment_id = ? ORDER BY part.offset_samples LIMIT 1""",
        [segment_id],
    ).fetchone()
    start_ns = None if began_ns is None else began_ns - offset * NANOSECONDS // rate
    clock = Clock(rate, (ClockKnot(0, start_ns, None, uncertainty_ns, provenance),))
    moved = _moved_events(db, segment_id, clock)
    told = db.execute(
        """SELECT start_ns, clock.uncertainty_ns, clock.provenance FROM segment JOIN clock USING (segment_id)
        WHERE segment_id = ? AND sample = 0""",
        [segment_id],
    ).fetchone()
    if not moved and told == (start_ns, uncertainty_ns, provenance):
        return
    active = [row[0] for row in db.execute("SELECT analysis_id FROM analysis WHERE segment_id = ? AND is_active = 1", [segment_id])]
    for analysis_id in active:
        rollup.shift(db, analysis_id, -1)
    db.execute("UPDATE segment SET start_ns = ? WHERE segment_id = ?", [start_ns, segment_id])
    db.execute(
        "UPDATE clock SET utc_ns = ?, uncertainty_ns = ?, provenance = ? WHERE segment_id = ? AND sample = 0",
        [start_ns, uncertainty_ns, provenance, segment_id],
    )
    db.conn.executemany("UPDATE event SET start_ns = ?, end_ns = ?, day = ? WHERE event_id = ?", moved)
    spans = db.execute("SELECT effort_id, start_sample FROM effort WHERE segment_id = ?", [segment_id]).fetchall()
    db.conn.executemany("UPDATE effort SET start_ns = ? WHERE effort_id = ?", [(clock.utc_ns(sample), key) for key, sample in spans])
    for analysis_id in active:
        rollup.shift(db, analysis_id, 1)


def _moved_events(db: Database, segment_id: int, clock: Clock) -> list[tuple[int | None, int | None, str, int]]:
    """Start, end, day and id of the events whose time differs from what is stored."""
    rows = db.execute(
        """SELECT event_id, start_sample, end_sample, start_s, start_local, event.start_ns, event.end_ns, event.day
        FROM event JOIN analysis USING (analysis_id) JOIN recording USING (recording_id) WHERE segment_id = ?""",
        [segment_id],
    )
    moved = []
    for key, start, end, start_s, start_local, *stored in rows:
        start_ns = clock.utc_ns(start)
        stamp = (start_ns, clock.utc_ns(end), event_day(start_ns, start_local, start_s))
        if stamp != tuple(stored):
            moved.append((*stamp, key))
    return moved
