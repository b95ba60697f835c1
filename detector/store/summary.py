"""What a replay tells when it is over, read from what is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sqlite_utils import Database

from detector.store.counts import count_days


def detections_by_class(db: Database, run_id: str) -> dict[str, int]:
    """Detections of a run by class, at the thresholds in force; classes without any are 0."""
    labels = db.execute("SELECT DISTINCT label FROM run JOIN run_class USING (run_id) WHERE run_uuid = ? ORDER BY label", [run_id])
    totals = {label: 0 for (label,) in labels.fetchall()}
    for row in count_days(db, run_id=run_id):
        totals[row.label] += row.n_events
    return totals


def other_runs(db: Database, run_id: str) -> int:
    """How many other runs have analysed recordings that this run has finished too."""
    (count,) = db.execute(
        """SELECT count(DISTINCT other.run_id) FROM run_recording AS mine JOIN run ON run.run_id = mine.run_id
        JOIN run_recording AS other ON other.recording_id = mine.recording_id AND other.run_id <> mine.run_id
        WHERE run.run_uuid = ?""",
        [run_id],
    ).fetchone()
    return int(count)


def other_deployments(db: Database, deployment_id: int, recording_ids: Iterable[str]) -> list[tuple[str, str, int]]:
    """Station and deployment that hold some of these recordings though another one is asked for, and how many."""
    asked = set(recording_ids)
    rows = db.execute(
        """SELECT station.name, deployment.name, recording.recording_uuid
        FROM recording JOIN deployment USING (deployment_id) JOIN station USING (station_id)
        WHERE recording.deployment_id <> ? AND recording.is_current = 1""",
        [deployment_id],
    )
    counts = Counter((station, deployment) for station, deployment, uuid in rows if uuid in asked)
    return [(station, deployment, count) for (station, deployment), count in sorted(counts.items())]


def problems(db: Database, run_id: str, recording_ids: Iterable[str]) -> list[tuple[str, str]]:
    """Path and reason of those recordings that were bad or lost something in this run, in order of paths."""
    asked = set(recording_ids)
    rows = db.execute(
        """SELECT recording.recording_uuid, recording.path, effort.reason, effort.duration_s,
            (effort.start_sample - part.offset_samples) * 1.0 / recording.sample_rate_hz
        FROM effort
        LEFT JOIN run ON run.run_id = effort.run_id
        LEFT JOIN segment_recording AS part ON part.segment_id = effort.segment_id AND part.offset_samples = (
            SELECT max(offset_samples) FROM segment_recording AS any_part
            WHERE any_part.segment_id = effort.segment_id AND any_part.offset_samples <= effort.start_sample)
        JOIN recording ON recording.recording_id = coalesce(effort.recording_id, part.recording_id)
        WHERE effort.state = 'lost' AND recording.is_current = 1 AND (effort.run_id IS NULL OR run.run_uuid = ?)
        ORDER BY recording.path, effort.effort_id""",
        [run_id],
    )
    return [(path, loss_text(reason, lost_s, at_s)) for uuid, path, reason, lost_s, at_s in rows.fetchall() if uuid in asked]


def loss_text(reason: str, lost_s: float | None, at_s: float | None) -> str:
    """A loss in words.

    Parameters
    ----------
    reason : str
    lost_s : float or None
        None when its length cannot be known.
    at_s : float or None
        Where in the recording; None when all of it is lost.
    """
    if at_s is None:
        return reason
    length = "an unknown length" if lost_s is None else f"{lost_s:.3g} s"
    return f"{reason}: {length} lost at {max(0.0, at_s):.3g} s; the rest was analysed"
