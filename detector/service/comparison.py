"""Detections in a database beside labels made by people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from detector.errors import LabelError
from detector.evaluate.evaluation import Detection, EvaluatedRecording, Evaluation, evaluate_events
from detector.evaluate.labels import IGNORED, Label, LabelMap, any_animal, assign_recordings
from detector.evaluate.tables import read_labels
from detector.store.reader import open_reader

ANY_ANIMAL = "animal"

_RECORDINGS = """SELECT DISTINCT recording.path, recording.duration_s FROM recording
JOIN segment_recording USING (recording_id)
JOIN analysis ON analysis.segment_id = segment_recording.segment_id AND analysis.is_active = 1
WHERE recording.is_current = 1 ORDER BY recording.path"""

_THRESHOLDS = """SELECT DISTINCT force.label, force.min_confidence FROM threshold_in_force AS force
WHERE EXISTS (SELECT 1 FROM analysis WHERE analysis.run_id = force.run_id AND analysis.head = force.head
    AND analysis.station_id = force.station_id AND analysis.is_active = 1)
ORDER BY force.label"""

_CANDIDATES = "SELECT recording, start_s, end_s, label, confidence FROM candidate ORDER BY recording, start_s"


@dataclass(frozen=True, slots=True)
class Comparison:
    """An evaluation and what it could not use.

    Attributes
    ----------
    evaluation : Evaluation
    n_labels_without_recording : int
        Labels of recordings that are not in the database.
    recordings_missing : tuple of str
        Those recordings, as the table names them.
    """

    evaluation: Evaluation
    n_labels_without_recording: int
    recordings_missing: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        missing = {"n_labels_without_recording": self.n_labels_without_recording, "recordings_missing": list(self.recordings_missing)}
        return {**self.evaluation.to_dict(), **missing}


def compare(
    labels: Path,
    database: Path,
    threshold: float | None = None,
    rules: Sequence[tuple[str, str]] = (),
    label_column: str | None = None,
    all_labelled: bool = False,
) -> Comparison:
    """Evaluate the active analyses of a database against a table of labels.

    Parameters
    ----------
    labels : Path
        A table, or a folder with tables; see `detector.evaluate.tables.read_labels`.
    database : Path
    threshold : float, optional
        Confidence for all classes, in place of the thresholds in force.
    rules : sequence of (pattern, class)
        Which labels mean which class; an empty class means "cannot say". Without rules, every animal means the class `animal`, and
        other classes are meant by their own names.
    label_column : str, optional
        Column of a Raven table.
    all_labelled : bool
        Every recording of the database was labelled, also those that no table names.

    Raises
    ------
    LabelError
        If a table cannot be understood, or nothing can be compared.
    StoreError
        If the database cannot be read.
    """
    table = read_labels(labels, label_column)
    with open_reader(database) as db:
        durations = {row["path"]: float(row["duration_s"]) for row in db.query(_RECORDINGS)}
        in_force = list(db.query(_THRESHOLDS))
        candidates = [
            Detection(row["recording"], row["start_s"], row["end_s"], row["label"], row["confidence"]) for row in db.query(_CANDIDATES)
        ]
    thresholds = _thresholds(in_force, threshold, database)
    files = assign_recordings(table.recordings, [Path(path) for path in durations])
    spoken_of = {str(path) for path in files.values()}
    known: list[Label] = [replace(label, recording=str(files[label.recording])) for label in table.labels if label.recording in files]
    recordings = [EvaluatedRecording(path, duration, all_labelled or path in spoken_of) for path, duration in durations.items()]
    classes = tuple(thresholds)
    evaluation = evaluate_events(candidates, known, recordings, _label_map(classes, rules), classes, thresholds)
    missing = tuple(name for name in table.recordings if name not in files)
    return Comparison(evaluation, len(table.labels) - len(known), missing)


def _thresholds(rows: Sequence[dict[str, Any]], threshold: float | None, database: Path) -> dict[str, float]:
    """One threshold for each class."""
    if not rows:
        raise LabelError(f"{database} holds no finished analysis", "run detector replay first")
    found: dict[str, float] = {}
    for row in rows:
        value = float(row["min_confidence"]) if threshold is None else threshold
        if found.setdefault(row["label"], value) != value:
            raise LabelError(f"stations differ in the threshold of {row['label']!r}", "give one for all with --threshold")
    return found


def _label_map(classes: Sequence[str], rules: Sequence[tuple[str, str]]) -> LabelMap:
    if rules:
        return LabelMap(tuple((pattern, meaning if meaning else IGNORED) for pattern, meaning in rules))
    if tuple(classes) == (ANY_ANIMAL,):
        return any_animal(ANY_ANIMAL)
    return LabelMap(tuple((name, name) for name in classes))
