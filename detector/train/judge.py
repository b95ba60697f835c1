"""Judging scores on the development set: average precision per species, false events per hour, and the event settings that do best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detector.evaluate.metrics import RecordingResult, match_recording, summarise
from detector.model.card import EventFacts
from detector.stream.boxes import BoxRule
from detector.stream.events import ClassRule, EventTracker
from detector.train.devset import DevItem
from detector.train.recipe import TuneRecipe
from detector.types import FloatArray, FrameScores

FLOOR = 0.05
"""Lowest confidence of a candidate; the default of config.yaml."""
ALLOWED_PER_HOUR = 60.0
"""False events per hour at which F1 is given, and for which the default threshold is set."""
_LONGEST_S = 60.0
_THRESHOLDS_TRIED = 8
_CONFIDENCES = tuple(np.round(np.concatenate([np.arange(0.05, 0.95, 0.025), np.arange(0.95, 0.9976, 0.0025)]), 4).tolist())

Candidates = tuple[tuple[float, float, float], ...]
"""Start and end in seconds, and a score that rises with certainty."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """How good candidates are.

    Attributes
    ----------
    ap30, ap50 : mapping of str to float
        Average precision at IoU 0.3 and 0.5 for each group.
    threshold : float
        Score from which a candidate counts; see `judge`.
    f1 : mapping of str to float
        At that threshold.
    false_per_hour : float
        On the negative recordings, at that threshold.
    weights : mapping of str to float
        Share of each group in the means. Groups that people annotated have half of it together: the borders of planted calls come
        from their level, and would favour detectors of level.
    """

    ap30: Mapping[str, float]
    ap50: Mapping[str, float]
    threshold: float
    f1: Mapping[str, float]
    false_per_hour: float
    weights: Mapping[str, float]

    @property
    def score(self) -> float:
        """One number to choose by: the mean over groups of AP at both overlaps and of F1 at the threshold."""
        return (self.mean(self.ap30) + self.mean(self.ap50) + self.mean(self.f1)) / 3.0

    def mean(self, values: Mapping[str, float]) -> float:
        """Weighted mean over groups."""
        return sum(self.weights[group] * value for group, value in values.items())

    def summary(self) -> dict[str, float]:
        """The means, for a card or a log."""
        return {
            "score": round(self.score, 4),
            "ap30": round(self.mean(self.ap30), 4),
            "ap50": round(self.mean(self.ap50), 4),
            "f1": round(self.mean(self.f1), 4),
            "false_per_hour": round(self.false_per_hour, 1),
            "threshold": round(self.threshold, 4),
        }


def find_events(logits: FloatArray, facts: EventFacts, hop_s: float) -> Candidates:
    """Candidates in the scores of one class, by the tracker of the field; the score is the mean logit."""

    def frames(seconds: float) -> int:
        return max(1, round(seconds / hop_s))

    boxes = BoxRule(frames(facts.step_filter_s), facts.merge_logits, round(facts.join_s / hop_s), frames(facts.min_duration_s))
    floor_logit = max(math.log(FLOOR / (1 - FLOOR)), facts.low_logit)
    rule = ClassRule("animal", 0, facts.low_logit, boxes)
    tracker = EventTracker("animal", [rule], frames(_LONGEST_S), floor_logit, frames(3600.0), 10**9)
    empty = np.zeros((len(logits), 0), np.float32)
    events = tracker.push(FrameScores(0, np.ascontiguousarray(logits.reshape(-1, 1), np.float32), empty)) + tracker.flush()
    return tuple((event.start_frame * hop_s, event.end_frame * hop_s, event.logit_mean) for event in events)


def judge(
    items: Sequence[DevItem],
    candidates: Sequence[Candidates],
    sample_rate_hz: int,
    thresholds: Sequence[float],
    allowed_per_hour: float = ALLOWED_PER_HOUR,
) -> Judgement:
    """Judge the candidates of every item.

    The threshold of highest mean F1 is chosen among those of ``thresholds`` with at most ``allowed_per_hour`` false events per hour on the
    recordings without animals; the last one where none is.
    """
    groups = sorted({item.group for item in items if not item.negative})
    weights = _weights(items)
    hours = {item.name: len(item.samples) / sample_rate_hz / 3600.0 for item in items}
    pairs = list(zip(items, candidates, strict=True))
    whole = {group: _match(group, pairs, hours, -np.inf) for group in groups}
    results = {group: summarise("animal", 0.0, [matched], 0) for group, matched in whole.items()}
    ap30 = {group: result.ap30.value for group, result in results.items()}
    ap50 = {group: result.ap50.value for group, result in results.items()}
    negative_hours = sum(hours[item.name] for item in items if item.negative)
    false_scores = np.sort([score for item, found in pairs if item.negative for _, _, score in found])
    rates = [(len(false_scores) - int(np.searchsorted(false_scores, one))) / max(negative_hours, 1e-9) for one in thresholds]
    allowed = [number for number, rate in enumerate(rates) if rate <= allowed_per_hour] or [len(thresholds) - 1]
    tried = allowed[:: max(1, len(allowed) // _THRESHOLDS_TRIED)]
    judged = []
    for number in tried:
        f1 = {group: _f1(_match(group, pairs, hours, thresholds[number])) for group in groups}
        judged.append(Judgement(ap30, ap50, thresholds[number], f1, rates[number], weights))
    return max(judged, key=lambda one: one.mean(one.f1))


def logit_thresholds() -> list[float]:
    """Thresholds to choose from, as logits."""
    return [math.log(value / (1 - value)) for value in _CONFIDENCES]


@dataclass(frozen=True, slots=True)
class Tuned:
    """Event settings, what is added to the head's bias with them, and how they were judged."""

    facts: EventFacts
    shift_logits: float
    judgement: Judgement


def tune_events(items: Sequence[DevItem], logits: Sequence[FloatArray], hop_s: float, sample_rate_hz: int, grid: TuneRecipe) -> Tuned:
    """Event settings with the best score on the development set.

    One setting after the other takes its best value, from the first of the grid, until a round changes nothing.
    """
    names = ("shift_logits", "merge_logits", "step_filter_s", "join_s", "min_duration_s", "low_logit")
    best: dict[str, float] = {name: getattr(grid, name)[0] for name in names}
    judged = judge_settings(items, logits, hop_s, sample_rate_hz, best)
    before: dict[str, float] = {}
    while before != best:
        before = best
        for name in names:
            for value in getattr(grid, name):
                settings = {**best, name: value}
                one = judge_settings(items, logits, hop_s, sample_rate_hz, settings) if settings != best else judged
                if one.score > judged.score:
                    best, judged = settings, one
    facts = EventFacts(**{name: value for name, value in best.items() if name != "shift_logits"})
    confidence = round(1.0 / (1.0 + math.exp(-judged.threshold)), 4)
    return Tuned(facts.model_copy(update={"threshold": confidence}), best["shift_logits"], judged)


def judge_settings(
    items: Sequence[DevItem], logits: Sequence[FloatArray], hop_s: float, sample_rate_hz: int, settings: Mapping[str, float]
) -> Judgement:
    """Judge scores with one combination of the grid."""
    facts = EventFacts(**{name: value for name, value in settings.items() if name != "shift_logits"})
    shift = np.float32(settings["shift_logits"])
    return judge(items, [find_events(each + shift, facts, hop_s) for each in logits], sample_rate_hz, logit_thresholds())


def _match(group: str, pairs: Sequence[tuple[DevItem, Candidates]], hours: Mapping[str, float], threshold: float) -> RecordingResult:
    """All recordings of a group, matched one by one and joined as if they were one."""
    parts = []
    for item, found in pairs:
        if item.group != group:
            continue
        ordered = sorted(found)
        spans = np.array([(start, end) for start, end, _ in ordered], np.float64).reshape(-1, 2)
        scores = np.array([score for _, _, score in ordered], np.float64)
        labels = np.array(sorted(item.events), np.float64).reshape(-1, 2)
        ignored = np.array(sorted(item.ignored), np.float64).reshape(-1, 2)
        parts.append(match_recording(hours[item.name], labels, ignored, spans, scores, threshold))
    return RecordingResult(
        hours=sum(part.hours for part in parts),
        n_labels=sum(part.n_labels for part in parts),
        n_points=sum(part.n_points for part in parts),
        scores=np.concatenate([part.scores for part in parts]),
        true30=np.concatenate([part.true30 for part in parts]),
        true50=np.concatenate([part.true50 for part in parts]),
        n_true=sum(part.n_true for part in parts),
        n_false=sum(part.n_false for part in parts),
        onset_errors_s=np.concatenate([part.onset_errors_s for part in parts]),
        offset_errors_s=np.concatenate([part.offset_errors_s for part in parts]),
    )


def _weights(items: Sequence[DevItem]) -> dict[str, float]:
    annotated = {item.group for item in items if not item.negative and item.annotated}
    planted = {item.group for item in items if not item.negative and not item.annotated}
    halves = [kind for kind in (annotated, planted) if kind]
    return {group: 1.0 / len(halves) / len(kind) for kind in halves for group in kind}


def _f1(matched: RecordingResult) -> float:
    total = matched.n_true + matched.n_false + matched.n_labels
    return 2.0 * matched.n_true / total if matched.n_labels else math.nan
