"""Event metrics: examples worked out by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from detector.errors import LabelError
from detector.evaluate.evaluation import Detection, EvaluatedRecording, Evaluation, evaluate_events
from detector.evaluate.labels import IGNORED, Label, LabelMap, any_animal

HOUR = 3600.0


def hits(*rows: tuple[str, float, float, float]) -> list[Detection]:
    return [Detection(recording, start, end, "animal", score) for recording, start, end, score in rows]


def calls(*rows: tuple[str, float, float]) -> list[Label]:
    return [Label(recording, start, end, "owl") for recording, start, end in rows]


def evaluate(detections: list[Detection], labels: list[Label], recordings: list[EvaluatedRecording], threshold: float = 0.5) -> Evaluation:
    return evaluate_events(detections, labels, recordings, any_animal(), ["animal"], {"animal": threshold})


def test_a_small_scene_by_hand() -> None:
    recordings = [EvaluatedRecording("a", HOUR), EvaluatedRecording("b", HOUR, negative=True)]
    labels = calls(("a", 0, 10), ("a", 20, 30), ("a", 40, 50), ("a", 60, 70))
    detections = hits(("a", 1, 10, 0.9), ("b", 5, 6, 0.8), ("a", 20, 28, 0.7), ("a", 100, 101, 0.6), ("a", 40, 44, 0.4))
    (result,) = evaluate(detections, labels, recordings).classes
    assert result.hours == 2.0
    assert (result.n_labels, result.n_detections) == (4, 5)
    assert result.precision.value == pytest.approx(2 / 4)
    assert result.recall.value == pytest.approx(2 / 4)
    assert result.f1.value == pytest.approx(0.5)
    assert result.false_per_hour.value == pytest.approx(1.0)
    assert result.ap30.value == pytest.approx((1.0 + 2 / 3 + 3 / 5) / 4)
    assert result.ap50.value == pytest.approx((1.0 + 2 / 3) / 4)
    assert {rate: share.value for rate, share in result.found_at.items()} == {1: 0.75, 10: 0.75, 60: 0.75}
    assert result.onset_error_s == pytest.approx(0.5)
    assert result.offset_error_s == pytest.approx(1.0)


def test_found_at_respects_the_rate() -> None:
    rows = [("a", 100.0 + i, 100.5 + i, 0.8) for i in range(5)]
    detections = hits(("a", 0, 10, 0.9), *rows, ("a", 20, 30, 0.7))
    (result,) = evaluate(detections, calls(("a", 0, 10), ("a", 20, 30)), [EvaluatedRecording("a", HOUR)]).classes
    assert {rate: share.value for rate, share in result.found_at.items()} == {1: 0.5, 10: 1.0, 60: 1.0}


def test_equal_scores_stand_or_fall_together() -> None:
    detections = hits(("a", 0, 10, 0.9), ("a", 50, 51, 0.9))
    (result,) = evaluate(detections, calls(("a", 0, 10)), [EvaluatedRecording("a", HOUR)]).classes
    assert result.ap30.value == pytest.approx(0.5)


def test_labels_without_detections_count() -> None:
    recordings = [EvaluatedRecording("a", HOUR), EvaluatedRecording("b", HOUR)]
    (result,) = evaluate(hits(("a", 0, 1, 0.9)), calls(("a", 0, 1), ("b", 0, 1)), recordings).classes
    assert (result.recall.value, result.precision.value) == (0.5, 1.0)
    (nothing,) = evaluate([], calls(("a", 0, 1)), recordings[:1]).classes
    assert (nothing.f1.value, nothing.recall.value, nothing.ap30.value, nothing.false_per_hour.value) == (0.0, 0.0, 0.0, 0.0)
    assert math.isnan(nothing.precision.value)
    assert math.isnan(nothing.onset_error_s)


def test_without_labels_only_false_events_are_known() -> None:
    evaluation = evaluate(hits(("a", 0, 1, 0.9)), [], [EvaluatedRecording("a", HOUR / 2, labelled=True)])
    (result,) = evaluation.classes
    assert result.false_per_hour.value == 2.0
    assert result.precision.value == 0.0
    assert all(math.isnan(e.value) for e in (result.f1, result.recall, result.ap30, result.ap50, *result.found_at.values()))
    shown = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert shown["classes"][0]["f1"] == {"value": None, "low": None, "high": None}
    assert shown["macro"]["ap30"] is None


def test_unlabelled_recordings_are_left_out_and_counted() -> None:
    recordings = [EvaluatedRecording("a", HOUR), EvaluatedRecording("far", 2 * HOUR)]
    evaluation = evaluate(hits(("far", 0, 1, 0.9)), calls(("a", 0, 1)), recordings)
    assert (evaluation.n_recordings, evaluation.hours, evaluation.n_left_out, evaluation.hours_left_out) == (1, 1.0, 1, 2.0)
    assert evaluation.classes[0].n_detections == 0


def test_detections_on_ignored_labels_are_neither_right_nor_wrong() -> None:
    labels = [*calls(("a", 0, 10)), Label("a", 20, 30, "unknown"), Label("a", 50, 60, "not_owl")]
    detections = hits(("a", 0, 10, 0.9), ("a", 22, 24, 0.8), ("a", 27, 40, 0.7), ("a", 51, 52, 0.6))
    (result,) = evaluate(detections, labels, [EvaluatedRecording("a", HOUR)]).classes
    assert (result.n_labels, result.n_detections) == (1, 3)
    assert result.false_per_hour.value == 2.0


def test_classes_are_averaged_where_defined() -> None:
    labels = [Label("a", 0, 1, "Owl"), Label("a", 5, 6, "FROG")]
    rules = LabelMap((("owl", "owl"), ("frog*", "frog"), ("hum", IGNORED)))
    detections = [Detection("a", 0, 1, "owl", 0.9)]
    thresholds = {"owl": 0.5, "frog": 0.5, "bat": 0.5}
    evaluation = evaluate_events(detections, labels, [EvaluatedRecording("a", HOUR)], rules, ["owl", "frog", "bat"], thresholds)
    assert evaluation.macro["f1"] == 0.5
    assert evaluation.macro["precision"] == 1.0


def noisy_scene(n_recordings: int) -> tuple[list[Detection], list[Label], list[EvaluatedRecording]]:
    rng = np.random.default_rng(3)
    labels, detections, recordings = [], [], []
    for i in range(n_recordings):
        recordings.append(EvaluatedRecording(f"r{i}", 600.0))
        for start in range(0, 600, 20):
            labels += calls((f"r{i}", start, start + 5))
            if rng.random() < 0.3 + 0.4 * (i % 2):
                detections += hits((f"r{i}", start + rng.normal(0, 0.5), start + 5.5, rng.random()))
            if rng.random() < 0.2:
                detections += hits((f"r{i}", start + 10, start + 12, rng.random()))
    return detections, labels, recordings


def test_the_bootstrap_is_seeded_and_brackets_the_value() -> None:
    scene = noisy_scene(12)
    one, two = (evaluate(*scene, threshold=0.1).to_dict() for _ in range(2))
    assert one == two
    (result,) = evaluate(*scene, threshold=0.1).classes
    for estimate in (result.f1, result.recall, result.ap30, result.false_per_hour):
        assert estimate.low < estimate.value < estimate.high
    again = evaluate_events(*scene, any_animal(), ["animal"], {"animal": 0.1}, seed=1).classes[0]
    assert again.f1.value == result.f1.value
    assert again.f1.low != result.f1.low


def test_one_recording_has_no_interval() -> None:
    (result,) = evaluate(*noisy_scene(1)).classes
    assert math.isfinite(result.f1.value)
    assert math.isnan(result.f1.low)


def test_what_does_not_fit_together_is_refused() -> None:
    recordings = [EvaluatedRecording("a", HOUR)]
    with pytest.raises(LabelError, match="'b' is not among the recordings"):
        evaluate([], calls(("b", 0, 1)), recordings)
    with pytest.raises(LabelError, match="the class 'animal'"):
        evaluate_events([], calls(("a", 0, 1)), recordings, any_animal(), ["bat"], {"bat": 0.5})
    with pytest.raises(LabelError, match="none of 1 recordings has labels"):
        evaluate([], [], recordings)
    with pytest.raises(LabelError, match="declared negative"):
        evaluate([], calls(("a", 0, 1)), [EvaluatedRecording("a", HOUR, negative=True)])
    with pytest.raises(LabelError, match="has the class 'bat'"):
        evaluate([Detection("a", 0, 1, "bat", 0.5)], calls(("a", 0, 1)), recordings)
