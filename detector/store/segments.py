"""Segments and what was found in them: written in pieces under a claim, and made to count when complete."""

from __future__ import annotations

from collections.abc import Sequence

from sqlite_utils import Database

from detector.errors import StoreError
from detector.store.buffer import Buffer, Piece
from detector.store.database import Writer
from detector.store.places import find, insert
from detector.store.rows import SegmentInfo, event_day, event_end, part_at
from detector.store.switching import activate

_INSERT_EVENT = """
INSERT INTO event (event_uuid, analysis_id, recording_id, label, start_frame, end_frame, start_sample, end_sample, start_s, end_s,
    start_ns, end_ns, day, low_hz, high_hz, confidence, logit_mean, logit_max, logit_top, n_frames, is_linked, embedding)
VALUES (:event_uuid, :analysis_id, :recording_id, :label, :start_frame, :end_frame, :start_sample, :end_sample, :start_s, :end_s,
    :start_ns, :end_ns, :day, :low_hz, :high_hz, :confidence, :logit_mean, :logit_max, :logit_top, :n_frames, :is_linked, :embedding)"""
_INSERT_EFFORT = """
INSERT INTO effort (run_id, segment_id, state, start_sample, n_samples, duration_s, start_ns, reason, count, band_levels_db)
VALUES (:run_id, :segment_id, :state, :start_sample, :n_samples, :duration_s, :start_ns, :reason, :count, :band_levels_db)"""


def is_complete(db: Database, run_id: str, segment_id: str) -> bool:
    """Whether a segment is wholly analysed, and so is all of the chain of recordings that it is a part of."""
    row = db.execute(
        """SELECT 1 FROM segment JOIN run ON run.run_uuid = ?
        WHERE segment.segment_uuid = ?
            AND EXISTS (SELECT 1 FROM analysis WHERE analysis.run_id = run.run_id AND analysis.segment_id = segment.segment_id)
            AND NOT EXISTS (SELECT 1 FROM analysis WHERE analysis.run_id = run.run_id
                AND analysis.segment_id = segment.segment_id AND analysis.state = 'partial')
            AND EXISTS (SELECT 1 FROM recording JOIN run_recording USING (recording_id)
                WHERE recording.recording_id IN (
                        SELECT recording_id FROM segment_recording WHERE segment_recording.segment_id = segment.segment_id)
                    AND run_recording.run_id = run.run_id AND run_recording.chain_hash = segment.audio_hash)""",
        [run_id, segment_id],
    ).fetchone()
    return row is not None


def write(db: Database, buffer: Buffer, piece: Piece) -> tuple[int, dict[str, int]]:
    """Write a piece of a segment.

    Returns
    -------
    int, dict
        Row id of the segment, and of the analysis of each head; none when they were complete before and nothing is to be written.

    Raises
    ------
    StoreError
        If another process has begun to write the same segment.
    """
    run_id = find(db, "run", {"run_uuid": buffer.run.run_id})
    segment_id = _ensure_segment(db, buffer.segment)
    analyses = _ensure_analyses(db, buffer, run_id, segment_id, piece.is_first)
    if not analyses:
        return segment_id, {}
    parts = [_recording(db, part.recording_id) for part in buffer.segment.parts]
    rows = []
    for head, columns in piece.events:
        recording_id, start_local = parts[columns["part"]]
        day = event_day(columns["start_ns"], start_local, columns["start_s"])
        rows.append({**columns, "analysis_id": analyses[head], "recording_id": recording_id, "day": day})
    db.conn.executemany(_INSERT_EVENT, rows)
    db.conn.executemany(_INSERT_EFFORT, [{**row, "run_id": run_id, "segment_id": segment_id} for row in piece.effort])
    return segment_id, analyses


def complete(db: Database, buffer: Buffer, piece: Piece, n_samples: int) -> None:
    """Write the last piece, and let the analysis count."""
    segment = buffer.segment
    segment_id, analyses = write(db, buffer, piece)
    if not analyses:
        return
    db.execute(
        "UPDATE segment SET n_samples = ?, duration_s = ? WHERE segment_id = ?", [n_samples, n_samples / segment.sample_rate_hz, segment_id]
    )
    for analysis_id in analyses.values():
        _cut_at_end(db, analysis_id, segment, n_samples)
        db.execute(
            """UPDATE analysis SET state = 'complete', claimed_by = NULL,
            n_candidates = (SELECT count(*) FROM event WHERE event.analysis_id = analysis.analysis_id) WHERE analysis_id = ?""",
            [analysis_id],
        )
        activate(db, analysis_id)


def finish(db: Database, run_id: str, recording_ids: Sequence[str], chain_hash: str) -> None:
    """Note that a run is done with a chain of recordings, and let what it found in it count."""
    run = find(db, "run", {"run_uuid": run_id})
    for uuid in recording_ids:
        db.execute(
            """INSERT INTO run_recording (run_id, recording_id, chain_hash) VALUES (?, ?, ?)
            ON CONFLICT DO UPDATE SET chain_hash = excluded.chain_hash WHERE chain_hash <> excluded.chain_hash""",
            [run, _recording(db, uuid)[0], chain_hash],
        )
    rows = db.execute(
        """SELECT analysis_id FROM segment CROSS JOIN analysis USING (segment_id)
        WHERE segment.audio_hash = ? AND analysis.run_id = ? AND analysis.state = 'complete' AND analysis.is_active = 0""",
        [chain_hash, run],
    ).fetchall()
    for (analysis_id,) in rows:
        activate(db, analysis_id)


def activate_finished(writer: Writer, run_id: str, recording_ids: Sequence[str]) -> int:
    """Let what a run has found in finished recordings count again; how many analyses were switched."""
    asleep = writer.db.execute(
        """SELECT DISTINCT analysis.analysis_id, recording.recording_uuid
        FROM analysis JOIN run USING (run_id) JOIN segment USING (segment_id)
        JOIN segment_recording USING (segment_id) JOIN recording USING (recording_id)
        JOIN run_recording ON run_recording.run_id = run.run_id AND run_recording.recording_id = recording.recording_id
            AND run_recording.chain_hash = segment.audio_hash
        WHERE run.run_uuid = ? AND analysis.is_active = 0 AND analysis.state = 'complete' AND recording.is_current = 1
        ORDER BY analysis.analysis_id""",
        [run_id],
    ).fetchall()
    asked = set(recording_ids)
    switched = 0
    for analysis_id in dict.fromkeys(analysis_id for analysis_id, uuid in asleep if uuid in asked):
        with writer.transaction() as db:
            switched += activate(db, analysis_id)
    return switched


def _ensure_segment(db: Database, segment: SegmentInfo) -> int:
    found = find(db, "segment", {"segment_uuid": segment.segment_id})
    if found is not None:
        return found
    row = {
        "segment_uuid": segment.segment_id,
        "source_id": segment.source_id,
        "audio_hash": segment.audio_hash,
        "channel": segment.channel,
        "first_sample": segment.first_sample,
        "sample_rate_hz": segment.sample_rate_hz,
        "start_ns": segment.clock.utc_ns(0),
    }
    segment_id = insert(db, "segment", row)
    for part in segment.parts:
        key = _recording(db, part.recording_id)[0]
        insert(db, "segment_recording", {"segment_id": segment_id, "recording_id": key, "offset_samples": part.offset_samples})
    for knot in segment.clock.knots:
        times = {"utc_ns": knot.utc_ns, "monotonic_ns": knot.monotonic_ns, "uncertainty_ns": knot.uncertainty_ns}
        insert(db, "clock", {"segment_id": segment_id, "sample": knot.sample, **times, "provenance": knot.provenance})
    return segment_id


def _ensure_analyses(db: Database, buffer: Buffer, run_id: int | None, segment_id: int, is_first: bool) -> dict[str, int]:
    """Id of the analysis of each head, claimed by this writer; empty when they were complete before."""
    rows = db.execute("SELECT head, analysis_id, state, claimed_by FROM analysis WHERE run_id = ? AND segment_id = ?", [run_id, segment_id])
    found = {head: facts for head, *facts in rows.fetchall()}
    if found and all(state == "complete" for _, state, _ in found.values()):
        return {}
    if all(claim == buffer.claim for *_, claim in found.values()) and (found or not is_first):
        return {head: facts[0] for head, facts in found.items()}
    if not is_first:
        raise StoreError(
            f"another process writes segment {buffer.segment.segment_id} too",
            "let one replay at a time work on the same recordings; run this one again when the other is done",
        )
    for analysis_id, *_ in found.values():
        db.execute("DELETE FROM event WHERE analysis_id = ?", [analysis_id])
        db.execute("DELETE FROM analysis WHERE analysis_id = ?", [analysis_id])
    db.execute("DELETE FROM effort WHERE run_id = ? AND segment_id = ?", [run_id, segment_id])
    station = "SELECT station_id FROM segment JOIN source USING (source_id) JOIN deployment USING (deployment_id) WHERE segment_id = ?"
    (station_id,) = db.execute(station, [segment_id]).fetchone()
    row = {"run_id": run_id, "segment_id": segment_id, "station_id": station_id, "state": "partial", "is_active": 0, "n_candidates": 0}
    return {head: insert(db, "analysis", {**row, "head": head, "claimed_by": buffer.claim}) for head in buffer.run.heads}


def _cut_at_end(db: Database, analysis_id: int, segment: SegmentInfo, n_samples: int) -> None:
    """The last frame of a segment may be partly empty; no event reaches beyond the audio."""
    beyond = "SELECT event_id, start_sample FROM event WHERE analysis_id = ? AND end_sample > ?"
    for event_id, start_sample in db.execute(beyond, [analysis_id, n_samples]).fetchall():
        part = part_at(segment.parts, start_sample)
        columns = event_end(segment, part, n_samples)
        settings = ", ".join(f"{name} = :{name}" for name in columns)
        db.execute(f"UPDATE event SET {settings} WHERE event_id = :event_id", {**columns, "event_id": event_id})


def _recording(db: Database, uuid: str) -> tuple[int, str | None]:
    """Row id and local start of a recording."""
    row = db.execute("SELECT recording_id, start_local FROM recording WHERE recording_uuid = ?", [uuid]).fetchone()
    if row is None:
        raise StoreError(f"the database has no recording {uuid}", "call add_recording first")
    return row[0], row[1]
