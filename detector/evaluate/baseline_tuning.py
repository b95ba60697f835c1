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


def tune(
    detector: Baseline,
    grid: Mapping[str, Sequence[float | int | str]],
    recordings: Iterable[LabelledAudio],
    restarts: int = 3,
    seed: int = 0,
) -> TunedBaseline:
    """Best settings by coordinate ascent: one setting after the other takes its best value until a round changes nothing.

    What is best is the mean of average precision at IoU 0.3 and 0.5 over all recordings together. The ascent begins at ``detector``
    and again at random points of the grid; the best end wins.

    Parameters
    ----------
    detector : BandEnergyDetector or PcenDetector
    grid : mapping of str to sequence
        Values to try for each setting, such as `BAND_ENERGY_GRID`.
    recordings : iterable of LabelledAudio
        Read once; only the power in bands is kept.
    restarts : int
        Random beginnings besides ``detector``.
    seed : int
        Of the random beginnings.

    Raises
    ------
    LabelError
        If there is no label in any of them.
    """
    material = _prepare(detector, recordings)
    if not any(len(labels) for _, _, labels in material):
        raise LabelError("there is no labelled event to tune a detector on", "give recordings with labels")
    generator = np.random.default_rng(seed)
    starts = [detector]
    for _ in range(restarts):
        drawn = {name: values[int(generator.integers(len(values)))] for name, values in grid.items()}
        starts.append(_changed(detector, drawn))
    tried: dict[Baseline, Ranking] = {}
    ends = [_ascend(start, grid, material, tried) for start in starts]
    best = max(ends, key=lambda end: _worth(tried[end]))
    return TunedBaseline(best, tried[best].best_threshold, tried[best], len(tried))


def _ascend(
    start: Baseline, grid: Mapping[str, Sequence[float | int | str]], material: Material, tried: dict[Baseline, Ranking]
) -> Baseline:
    """Nearest settings that no change of one setting makes better; everything compared is remembered in ``tried``."""

    def worth(candidate: Baseline) -> float:
        if candidate not in tried:
            tried[candidate] = rank(_results(candidate, material))
        return _worth(tried[candidate])

    best = start
    for _ in range(_ROUNDS):
        before = best
        for name, values in grid.items():
            best = max([best, *(_changed(best, {name: value}) for value in values)], key=worth)
        if best == before:
            break
    return best


def _worth(ranking: Ranking) -> float:
    return ranking.ap30 + ranking.ap50


def _changed(detector: Baseline, values: Mapping[str, float | int | str]) -> Baseline:
    return replace(detector, **values)  # type: ignore[arg-type]  # the grid names fields of the detector


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
