"""Numbers of one class from per-recording counts, with bootstrap over recordings.

A quotient without a denominator is nan (null in JSON), never 0 or 1: precision without detections, everything that divides by labels
without labels, a rate without audio. F1 and average precision of a class with labels and without any detection are 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from detector.evaluate.matching import Floats, Indices, Spans, covered_share, greedy_matching, maximum_matching

RATES_PER_HOUR = (1, 10, 60)
"""False events per hour at which the share of labels found is given."""

LOW_IOU, HIGH_IOU = 0.3, 0.5
RESAMPLES = 1000
_IGNORED_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and its 95 % interval; nan where it is not defined."""

    value: float
    low: float = math.nan
    high: float = math.nan

    def to_dict(self) -> dict[str, float | None]:
        return {"value": _null(self.value), "low": _null(self.low), "high": _null(self.high)}


@dataclass(frozen=True, slots=True)
class ClassResult:
    """How one class did. `Estimate` where a bootstrap makes sense.

    Attributes
    ----------
    label : str
    threshold : float
        Detections scoring at least this are counted in ``f1``, ``precision``, ``recall``, ``false_per_hour`` and the border errors.
    n_labels, n_points, n_detections : int
        Labels, those of zero length among them (which no box can match), and candidates at any score.
    hours : float
    f1, precision, recall : Estimate
        One-to-one matching of greatest size at IoU > 0.3.
    ap30, ap50 : Estimate
        Average precision at IoU > 0.3 and > 0.5 over all candidates, area under the falling envelope of precision.
    false_per_hour : Estimate
        Detections without a label, per hour of evaluated audio.
    found_at : mapping of int to Estimate
        Greatest share of labels found at a score at which at most so many false events come in an hour.
    onset_error_s, offset_error_s : float
        Median absolute errors over matched pairs.
    """

    label: str
    threshold: float
    n_labels: int
    n_points: int
    n_detections: int
    hours: float
    f1: Estimate
    precision: Estimate
    recall: Estimate
    ap30: Estimate
    ap50: Estimate
    false_per_hour: Estimate
    found_at: Mapping[int, Estimate]
    onset_error_s: float
    offset_error_s: float

    def to_dict(self) -> dict[str, object]:
        estimates = ("f1", "precision", "recall", "ap30", "ap50", "false_per_hour")
        counts = ("label", "threshold", "n_labels", "n_points", "n_detections", "hours")
        return {
            **{name: getattr(self, name) for name in counts},
            **{name: getattr(self, name).to_dict() for name in estimates},
            "found_at": {str(rate): share.to_dict() for rate, share in self.found_at.items()},
            "onset_error_s": _null(self.onset_error_s),
            "offset_error_s": _null(self.offset_error_s),
        }


@dataclass(frozen=True, slots=True)
class RecordingResult:
    """One recording and class, matched: all that the numbers need. Detections on ignored labels are no longer in it.

    Attributes
    ----------
    hours : float
    n_labels, n_points : int
    scores : float64 (detections,)
    true30, true50 : bool (detections,)
        Found a label, greedily by score.
    n_true, n_false : int
        At the threshold, by the greatest matching.
    onset_errors_s, offset_errors_s : float64 (n_true,)
        Absolute.
    """

    hours: float
    n_labels: int
    n_points: int
    scores: Floats
    true30: npt.NDArray[np.bool_]
    true50: npt.NDArray[np.bool_]
    n_true: int
    n_false: int
    onset_errors_s: Floats
    offset_errors_s: Floats


def match_recording(hours: float, labels: Spans, ignored: Spans, detections: Spans, scores: Floats, threshold: float) -> RecordingResult:
    """Match one recording and class.

    A detection that finds no label and lies at least half in ignored labels is neither right nor wrong.
    """
    greedy30 = greedy_matching(labels, detections, scores, LOW_IOU)
    in_doubt = covered_share(detections, ignored) >= _IGNORED_SHARE
    kept = np.flatnonzero((greedy30 >= 0) | ~in_doubt)
    greedy50 = greedy_matching(labels, detections, scores, HIGH_IOU)
    above = np.flatnonzero(scores >= threshold)
    pairs = maximum_matching(labels, detections[above], LOW_IOU)
    hit = np.flatnonzero(pairs >= 0)
    errors = np.abs(detections[above][pairs[hit]] - labels[hit])
    wrong = np.setdiff1d(np.arange(len(above)), pairs[hit])
    return RecordingResult(
        hours=hours,
        n_labels=len(labels),
        n_points=int((labels[:, 0] == labels[:, 1]).sum()),
        scores=scores[kept],
        true30=greedy30[kept] >= 0,
        true50=greedy50[kept] >= 0,
        n_true=len(hit),
        n_false=int((~in_doubt[above][wrong]).sum()),
        onset_errors_s=errors[:, 0],
        offset_errors_s=errors[:, 1],
    )


def summarise(label: str, threshold: float, recordings: Sequence[RecordingResult], seed: int) -> ClassResult:
    """All numbers of one class, with 95 % intervals from a seeded bootstrap over recordings (percentiles of 1000 draws)."""
    pool = _Pool(recordings)
    draws = _draws(len(recordings), seed)

    def estimate(measure: Callable[[Indices], float]) -> Estimate:
        return _estimate(measure, len(recordings), draws)

    return ClassResult(
        label=label,
        threshold=threshold,
        n_labels=int(pool.n_labels.sum()),
        n_points=sum(recording.n_points for recording in recordings),
        n_detections=len(pool.scores),
        hours=float(pool.hours.sum()),
        f1=estimate(pool.f1),
        precision=estimate(pool.precision),
        recall=estimate(pool.recall),
        ap30=estimate(partial(pool.average_precision, true=pool.true30)),
        ap50=estimate(partial(pool.average_precision, true=pool.true50)),
        false_per_hour=estimate(pool.false_per_hour),
        found_at={rate: estimate(partial(pool.found_at, rate=rate)) for rate in RATES_PER_HOUR},
        onset_error_s=_median([recording.onset_errors_s for recording in recordings]),
        offset_error_s=_median([recording.offset_errors_s for recording in recordings]),
    )


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well scores put events first, for tuning: no threshold is needed, and the best one is found.

    Attributes
    ----------
    ap30, ap50 : float
        Average precision; nan without labels.
    best_f1 : float
        Greatest F1 at IoU > 0.3 over all thresholds, matched greedily.
    best_threshold : float
        The score that gives it; infinite when there is nothing to rank.
    """

    ap30: float
    ap50: float
    best_f1: float
    best_threshold: float


def rank(recordings: Sequence[RecordingResult]) -> Ranking:
    """Ranking of all recordings together."""
    pool = _Pool(recordings)
    ones = np.ones(len(recordings), np.int64)
    f1, threshold = pool.best_f1(ones)
    return Ranking(pool.average_precision(ones, pool.true30), pool.average_precision(ones, pool.true50), f1, threshold)


class _Pool:
    """Counts of all recordings; every measure takes how often each recording is drawn."""

    def __init__(self, recordings: Sequence[RecordingResult]) -> None:
        self.hours = np.array([r.hours for r in recordings], np.float64)
        self.n_labels = np.array([r.n_labels for r in recordings], np.int64)
        self.n_true = np.array([r.n_true for r in recordings], np.int64)
        self.n_false = np.array([r.n_false for r in recordings], np.int64)
        scores = np.concatenate([np.zeros(0), *(r.scores for r in recordings)])
        order = np.argsort(-scores, kind="stable")
        self.scores = scores[order]
        self.owner = np.repeat(np.arange(len(recordings)), [len(r.scores) for r in recordings])[order]
        self.true30 = np.concatenate([np.zeros(0, np.bool_), *(r.true30 for r in recordings)])[order]
        self.true50 = np.concatenate([np.zeros(0, np.bool_), *(r.true50 for r in recordings)])[order]
        last = np.concatenate([self.scores[1:] != self.scores[:-1], np.ones(min(len(scores), 1), np.bool_)])
        self.cuts = np.flatnonzero(last)  # equal scores stand or fall together

    def precision(self, weights: Indices) -> float:
        return _ratio(_sum(weights, self.n_true), _sum(weights, self.n_true + self.n_false))

    def recall(self, weights: Indices) -> float:
        return _ratio(_sum(weights, self.n_true), _sum(weights, self.n_labels))

    def f1(self, weights: Indices) -> float:
        n_labels, found = _sum(weights, self.n_labels), _sum(weights, self.n_true)
        return _ratio(2 * found, found + _sum(weights, self.n_false) + n_labels) if n_labels else math.nan

    def false_per_hour(self, weights: Indices) -> float:
        return _ratio(_sum(weights, self.n_false), _sum(weights, self.hours))

    def average_precision(self, weights: Indices, true: npt.NDArray[np.bool_]) -> float:
        n_labels = _sum(weights, self.n_labels)
        if not n_labels:
            return math.nan
        right, wrong = self._curve(weights, true)
        precision = right / np.maximum(right + wrong, 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        return float(np.sum(np.diff(right, prepend=0) * envelope) / n_labels)

    def found_at(self, weights: Indices, rate: int) -> float:
        n_labels, hours = _sum(weights, self.n_labels), _sum(weights, self.hours)
        if not n_labels or not hours:
            return math.nan
        right, wrong = self._curve(weights, self.true30)
        allowed = right[wrong <= rate * hours]
        return float(allowed.max(initial=0) / n_labels)

    def best_f1(self, weights: Indices) -> tuple[float, float]:
        """The greatest F1 over all thresholds, and the score at which it is reached."""
        n_labels = _sum(weights, self.n_labels)
        if not n_labels or not self.scores.size:
            return (0.0 if n_labels else math.nan), math.inf
        right, wrong = self._curve(weights, self.true30)
        f1 = 2.0 * right / (right + wrong + n_labels)
        best = int(np.argmax(f1))
        return float(f1[best]), float(self.scores[self.cuts[best]])

    def _curve(self, weights: Indices, true: npt.NDArray[np.bool_]) -> tuple[Indices, Indices]:
        """True and false events at each distinct score, from the highest down."""
        weight = weights[self.owner]
        return np.cumsum(weight * true)[self.cuts], np.cumsum(weight * ~true)[self.cuts]


def _draws(n: int, seed: int) -> list[Indices]:
    """How often each recording is drawn; none when there are fewer than two, which say nothing about spread."""
    if n < 2:
        return []
    generator = np.random.default_rng(seed)
    return [np.bincount(generator.integers(0, n, n), minlength=n) for _ in range(RESAMPLES)]


def _estimate(measure: Callable[[Indices], float], n: int, draws: Sequence[Indices]) -> Estimate:
    value = measure(np.ones(n, np.int64))
    drawn = np.array([measure(weights) for weights in draws])
    drawn = drawn[np.isfinite(drawn)]
    if math.isnan(value) or drawn.size == 0:
        return Estimate(value)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def mean_of(estimates: Sequence[Estimate]) -> float:
    """Macro average over the classes for which a number is defined; nan when there is none."""
    values = [estimate.value for estimate in estimates if not math.isnan(estimate.value)]
    return sum(values) / len(values) if values else math.nan


def _sum(weights: Indices, values: Floats | Indices) -> float:
    return float(weights @ values)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _median(parts: Sequence[Floats]) -> float:
    values = np.concatenate([np.zeros(0), *parts])
    return float(np.median(values)) if values.size else math.nan


def _null(value: float) -> float | None:
    return None if math.isnan(value) else value
