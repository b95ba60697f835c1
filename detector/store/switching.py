"""Which analysis counts: of several for the same audio and head only one is active, and the counts follow it."""

from __future__ import annotations

from sqlite_utils import Database

from detector.store import rollup

_RIVALS = """
SELECT DISTINCT other.analysis_id
FROM analysis AS mine
JOIN segment AS my_segment ON my_segment.segment_id = mine.segment_id
JOIN segment_recording AS my_part ON my_part.segment_id = mine.segment_id
JOIN recording AS my_recording ON my_recording.recording_id = my_part.recording_id
JOIN recording AS same ON same.recording_id = coalesce(my_recording.duplicate_of, my_recording.recording_id)
    OR same.duplicate_of = coalesce(my_recording.duplicate_of, my_recording.recording_id)
JOIN segment_recording AS part ON part.recording_id = same.recording_id
JOIN segment ON segment.segment_id = part.segment_id
JOIN analysis AS other ON other.segment_id = segment.segment_id
WHERE mine.analysis_id = ? AND other.is_active = 1 AND other.head = mine.head AND other.analysis_id <> mine.analysis_id
    AND (other.run_id <> mine.run_id OR segment.channel = my_segment.channel)
    AND my_part.offset_samples - my_segment.n_samples < part.offset_samples
    AND part.offset_samples - segment.n_samples < my_part.offset_samples"""
"""Active analyses whose segment shares audio with mine, under the same path or as a copy. Two channels of one run stand side by
side; of two runs the newer holds."""


_NOT_COVERED = """
SELECT 1 FROM analysis AS mine
JOIN segment AS my_segment ON my_segment.segment_id = mine.segment_id
JOIN segment_recording AS my_part ON my_part.segment_id = mine.segment_id
JOIN recording ON recording.recording_id = my_part.recording_id
WHERE mine.analysis_id = ? AND NOT EXISTS (
    SELECT 1 FROM segment_recording AS part CROSS JOIN segment USING (segment_id) CROSS JOIN analysis AS other USING (segment_id)
    WHERE part.recording_id = recording.duplicate_of AND other.is_active = 1 AND other.run_id = mine.run_id AND other.head = mine.head
        AND segment.channel = my_segment.channel AND segment.n_samples > my_segment.n_samples)"""
"""A recording of mine that is no copy of one in a longer stretch, which the same run has analysed and which counts.
CROSS JOIN keeps the order: from the few parts of the copy, never from the many analyses of the run."""


def activate(db: Database, analysis_id: int) -> bool:
    """Let an analysis count, and those that it replaces no longer; False when it did already, or is but a copy of a part of another."""
    (active,) = db.execute("SELECT is_active FROM analysis WHERE analysis_id = ?", [analysis_id]).fetchone()
    if active or db.execute(_NOT_COVERED, [analysis_id]).fetchone() is None:
        return False
    for (rival,) in db.execute(_RIVALS, [analysis_id]).fetchall():
        _deactivate(db, rival)
    db.execute("UPDATE analysis SET is_active = 1 WHERE analysis_id = ?", [analysis_id])
    rollup.shift(db, analysis_id, 1)
    return True


def deactivate_recording(db: Database, recording_id: int) -> None:
    """What was found in a recording counts no more."""
    rows = db.execute(
        """SELECT analysis_id FROM segment_recording JOIN analysis USING (segment_id)
        WHERE segment_recording.recording_id = ? AND analysis.is_active = 1""",
        [recording_id],
    ).fetchall()
    for (analysis_id,) in rows:
        _deactivate(db, analysis_id)


def _deactivate(db: Database, analysis_id: int) -> None:
    rollup.shift(db, analysis_id, -1)
    db.execute("UPDATE analysis SET is_active = 0 WHERE analysis_id = ?", [analysis_id])
