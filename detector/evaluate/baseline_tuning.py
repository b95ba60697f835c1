"""Tuning of the detectors without learning, on the recordings that a bundle was trained on: a fair rival is a tuned one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from detector.errors import LabelError
from detector.evaluate.baselines import Bands, Baseline
from detector.evaluate.matching import Spans
from detector.evaluate.metrics import Ranking, RecordingResult, match_recording, rank
from detector.types import FloatArray

_ROUNDS = 4
_NOTHING_IGNORED = np.zeros((0, 2))


@dataclass(frozen=True, slots=True)
class LabelledAudio:
    """A recording with all its events; none when it is known to hold none.

    Attributes
    ----------
    samples : float32 (n,)
    sample_rate_hz : int
    labels : float64 (events, 2)
        Start and end in seconds.
    """

    samples: FloatArray
    sample_rate_hz: int
    labels: Spans


@dataclass(frozen=True, slots=True)
class TunedBaseline:
    """A tuned detector.

    Attributes
    ----------
    detector : BandEnergyDetector or PcenDetector
    threshold : float
        Score of highest F1 on the recordings that it was tuned on.
    ranking : Ranking
        On those recordings.
    n_tried : int
        Settings compared.
    """

    detector: Baseline
    threshold: float
    ranking: Ranking
    n_tried: int


def tune(detector: Baseline, grid: Mapping[str, Sequence[float | int | str]], recordings: Iterable[LabelledAudio]) -> TunedBaseline:
    """Best settings by coordinate ascent: one setting after the other takes its best value until a round changes nothing.

    What is best is the mean of average precision at IoU 0.3 and 0.5 over all recordings together.

    Parameters
    ----------
    detector : BandEnergyDetector or PcenDetector
        Where to begin.
    grid : mapping of str to sequence
        Values to try for each setting, such as `BAND_ENERGY_GRID`.
    recordings : iterable of LabelledAudio
        Read once; only the power in bands is kept.

    Raises
    ------
    LabelError
        If there is no label in any of them.
    """
    material = _prepare(detector, recordings)
    if not any(len(labels) for _, _, labels in material):
        raise LabelError("there is no labelled event to tune a detector on", "give recordings with labels")
    best, ranking = detector, rank(_results(detector, material))
    tried = {detector}
    for _ in range(_ROUNDS):
        before = best
        for name, values in grid.items():
            for value in values:
                candidate = replace(best, **{name: value})  # type: ignore[arg-type]  # the grid names fields of the detector
                if candidate in tried:
                    continue
                tried.add(candidate)
                result = rank(_results(candidate, material))
                if result.ap30 + result.ap50 > ranking.ap30 + ranking.ap50:
                    best, ranking = candidate, result
        if best == before:
            break
    return TunedBaseline(best, ranking.best_threshold, ranking, len(tried))


Material = list[tuple[Bands, float, Spans]]


def _prepare(detector: Baseline, recordings: Iterable[LabelledAudio]) -> Material:
    """Bands, hours and labels of each recording."""
    material = []
    for recording in recordings:
        bands = detector.prepare(recording.samples, recording.sample_rate_hz)
        hours = len(recording.samples) / recording.sample_rate_hz / 3600.0
        material.append((bands, hours, recording.labels))
    return material


def _results(detector: Baseline, material: Material) -> list[RecordingResult]:
    results = []
    for bands, hours, labels in material:
        found = detector.candidates(bands)
        spans = np.array([(c.start_s, c.end_s) for c in found], np.float64).reshape(-1, 2)
        scores = np.array([c.score for c in found], np.float64)
        results.append(match_recording(hours, labels, _NOTHING_IGNORED, spans, scores, np.inf))
    return results
