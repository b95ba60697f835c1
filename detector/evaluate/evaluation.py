"""Detections against labels: the one function behind `detector evaluate` and the numbers on a card."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detector.errors import LabelError
from detector.evaluate.labels import IGNORED, Label, LabelMap
from detector.evaluate.matching import Spans
from detector.evaluate.metrics import ClassResult, RecordingResult, match_recording, mean_of, summarise

_SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Detection:
    """One candidate or detection.

    Attributes
    ----------
    recording : str
        Same name as in `EvaluatedRecording`.
    start_s, end_s : float
    label : str
        A class of the bundle.
    score : float
        Any number that rises with certainty.
    """

    recording: str
    start_s: float
    end_s: float
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class EvaluatedRecording:
    """A recording that may be evaluated.

    Attributes
    ----------
    name : str
    duration_s : float
    labelled : bool
        Somebody has labelled all of it, perhaps with no events. It also counts as labelled when it has labels.
    negative : bool
        It is known to hold none of the classes: its hours count for false events.
    """

    name: str
    duration_s: float
    labelled: bool = False
    negative: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Results for all classes.

    Attributes
    ----------
    classes : tuple of ClassResult
    macro : mapping of str to float
        Mean over the classes for which a number is defined: f1, precision, recall, ap30, ap50, false_per_hour.
    n_recordings : int
    hours : float
    n_left_out : int
        Recordings that are neither labelled nor declared negative; nothing about them is counted.
    hours_left_out : float
    """

    classes: tuple[ClassResult, ...]
    macro: Mapping[str, float]
    n_recordings: int
    hours: float
    n_left_out: int
    hours_left_out: float

    def to_dict(self) -> dict[str, object]:
        """For JSON: nan becomes null."""
        return {
            "classes": [result.to_dict() for result in self.classes],
            "macro": {name: None if math.isnan(value) else value for name, value in self.macro.items()},
            "n_recordings": self.n_recordings,
            "hours": self.hours,
            "n_left_out": self.n_left_out,
            "hours_left_out": self.hours_left_out,
        }


def evaluate_events(
    detections: Sequence[Detection],
    labels: Sequence[Label],
    recordings: Sequence[EvaluatedRecording],
    label_map: LabelMap,
    classes: Sequence[str],
    thresholds: Mapping[str, float],
    seed: int = 0,
) -> Evaluation:
    """Event metrics of each class.

    Parameters
    ----------
    detections : sequence of Detection
        All candidates, so that average precision sees the whole range of scores.
    labels : sequence of Label
        ``recording`` must be a name in ``recordings``.
    recordings : sequence of EvaluatedRecording
        Only those that are labelled (or have labels) or negative are evaluated.
    label_map : LabelMap
    classes : sequence of str
        What the bundle can detect; detections of other classes are an error.
    thresholds : mapping of str to float
        Score from which a candidate is a detection, for every class.
    seed : int
        Of the bootstrap.

    Raises
    ------
    LabelError
        If a label or detection names an unknown recording or class, or there is nothing to evaluate.
    """
    _check(detections, labels, recordings, label_map, classes)
    spoken_of = {label.recording for label in labels}
    chosen = [r for r in recordings if r.labelled or r.negative or r.name in spoken_of]
    if not chosen:
        raise LabelError(f"none of {len(recordings)} recordings has labels", "compare the names in the table and of the files")
    results = []
    for name in classes:
        per_recording = _match_class(name, chosen, detections, labels, label_map, thresholds[name])
        results.append(summarise(name, thresholds[name], per_recording, seed))
    averaged = ("f1", "precision", "recall", "ap30", "ap50", "false_per_hour")
    macro = {measure: mean_of([getattr(result, measure) for result in results]) for measure in averaged}
    hours = sum(r.duration_s for r in chosen) / _SECONDS_PER_HOUR
    hours_left_out = sum(r.duration_s for r in recordings) / _SECONDS_PER_HOUR - hours
    n_left_out = len(recordings) - len(chosen)
    return Evaluation(tuple(results), macro, len(chosen), hours, n_left_out, hours_left_out if n_left_out else 0.0)


def _match_class(
    name: str,
    recordings: Sequence[EvaluatedRecording],
    detections: Sequence[Detection],
    labels: Sequence[Label],
    label_map: LabelMap,
    threshold: float,
) -> list[RecordingResult]:
    wanted: dict[str, list[tuple[float, float]]] = {}
    ignored: dict[str, list[tuple[float, float]]] = {}
    for label in labels:
        meaning = label_map.classify(label.label)
        if meaning == name:
            wanted.setdefault(label.recording, []).append((label.start_s, label.end_s))
        elif meaning == IGNORED:
            ignored.setdefault(label.recording, []).append((label.start_s, label.end_s))
    found: dict[str, list[Detection]] = {}
    for detection in detections:
        if detection.label == name:
            found.setdefault(detection.recording, []).append(detection)
    matched = []
    for recording in recordings:
        here = sorted(found.get(recording.name, []), key=lambda d: (d.start_s, d.end_s, d.score))
        spans = _spans([(d.start_s, d.end_s) for d in here])
        scores = np.array([d.score for d in here], np.float64)
        hours = recording.duration_s / _SECONDS_PER_HOUR
        positives = _spans(sorted(wanted.get(recording.name, [])))
        matched.append(match_recording(hours, positives, _spans(ignored.get(recording.name, [])), spans, scores, threshold))
    return matched


def _spans(pairs: Sequence[tuple[float, float]]) -> Spans:
    return np.array(pairs, np.float64).reshape(-1, 2)


def _check(
    detections: Sequence[Detection],
    labels: Sequence[Label],
    recordings: Sequence[EvaluatedRecording],
    label_map: LabelMap,
    classes: Sequence[str],
) -> None:
    names = {recording.name for recording in recordings}
    for name in (*(label.recording for label in labels), *(detection.recording for detection in detections)):
        if name not in names:
            raise LabelError(f"{name!r} is not among the recordings", "give the recordings that the labels are for")
    for detection in detections:
        if detection.label not in classes:
            raise LabelError(f"a detection has the class {detection.label!r}", f"classes here: {', '.join(classes)}")
    meant = {label_map.classify(label.label) for label in labels} - {None, IGNORED}
    unknown = sorted(str(meaning) for meaning in meant if meaning not in classes)
    if unknown:
        raise LabelError(f"labels mean the class {unknown[0]!r}, which the bundle has not", f"classes here: {', '.join(classes)}")
    negative = {recording.name for recording in recordings if recording.negative}
    for label in labels:
        if label.recording in negative and label_map.classify(label.label) not in (None, IGNORED):
            raise LabelError(f"{label.recording!r} is declared negative but has the label {label.label!r}", "correct one of the two")
