"""Scores to events: hand-made scores, and the same events for every partition."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import ConfigError, EngineError
from detector.stream.boxes import BoxRule
from detector.stream.events import CappedHour, ClassRule, EventTracker
from detector.types import Event, FrameScores, Gap

RULE = BoxRule(half_step=4, merge_logits=1.5, join_frames=3, min_frames=3)


def tracker(
    rule: BoxRule = RULE, *, classes: int = 1, longest: int = 200, floor: float = -2.9, cap: int = 1000, hour: int = 100_000
) -> EventTracker:
    rules = [ClassRule(f"class {i}", i, -3.0, rule) for i in range(classes)]
    return EventTracker("animal", rules, longest, floor, hour, cap)


def scores(logits: np.ndarray, start: int = 0) -> FrameScores:
    logits = np.asarray(logits, np.float32)
    logits = logits[:, None] if logits.ndim == 1 else logits
    rows = np.arange(start, start + len(logits), dtype=np.float32)
    return FrameScores(start, logits, np.stack([rows, np.ones_like(rows)], axis=1))


def pulses(n: int, *spans: tuple[int, int, float], quiet: float = -6.0) -> np.ndarray:
    x = np.full(n, quiet, np.float32)
    for start, end, level in spans:
        x[start:end] = level
    return x


def run(stage: EventTracker, logits: np.ndarray, cuts: list[int] | None = None) -> list[Event]:
    edges = [0, *sorted(cuts or []), len(logits)]
    events = []
    for start, end in pairwise(edges):
        events += stage.push(scores(logits[start:end], start))
    return sorted(events + stage.flush(), key=lambda e: (e.label, e.start_frame))


def boxes(events: list[Event]) -> list[tuple[int, int]]:
    return [(event.start_frame, event.end_frame) for event in events]


def values(events: list[Event]) -> list[tuple[object, ...]]:
    return [
        (e.head, e.label, e.start_frame, e.end_frame, e.logit_mean, e.logit_max, e.logit_top, e.embedding.tobytes(), e.linked)
        for e in events
    ]


@pytest.mark.parametrize("length", [3, 5, 9, 40])
def test_a_clean_pulse_has_its_own_borders(length: int) -> None:
    events = run(tracker(), pulses(120, (50, 50 + length, 4.0)))
    assert boxes(events) == [(50, 50 + length)]


def test_statistics_are_those_of_the_box() -> None:
    x = pulses(100, (40, 60, 2.0))
    x[50:52] = 5.0
    (event,) = run(tracker(), x)
    assert event.logit_mean == pytest.approx((18 * 2 + 2 * 5) / 20)
    assert event.logit_max == 5.0
    assert event.logit_top == 5.0
    assert event.confidence == pytest.approx(1 / (1 + np.exp(-2.3)))
    assert event.embedding.dtype == np.float16
    assert event.embedding.tolist() == [49.5, 1.0]


def test_borders_do_not_move_with_the_floor() -> None:
    rng = np.random.default_rng(1)
    x = np.repeat(rng.normal(-3, 4, 60), 15) + rng.normal(0, 0.7, 900)
    everything = boxes(run(tracker(floor=-3.0), x))
    fewer = run(tracker(floor=1.0), x)
    assert 0 < len(fewer) < len(everything)
    assert set(boxes(fewer)) <= set(everything)
    assert all(event.logit_mean >= 1.0 for event in fewer)


def test_short_holes_are_joined_and_deep_ones_are_not() -> None:
    joined = run(tracker(), pulses(100, (20, 40, 4.0), (43, 60, 4.0)))
    parted = run(tracker(), pulses(100, (20, 40, 4.0), (44, 60, 4.0)))
    assert boxes(joined) == [(20, 60)]
    assert boxes(parted) == [(20, 40), (44, 60)]


def test_shallow_valleys_merge_and_deep_ones_part() -> None:
    shallow = run(tracker(), pulses(100, (20, 70, 4.0), (43, 47, 2.6)))
    deep = run(tracker(), pulses(100, (20, 70, 4.0), (43, 47, 2.4)))
    assert boxes(shallow) == [(20, 70)]
    assert boxes(deep) == [(20, 43), (47, 70)]


def test_a_valley_four_times_as_long_parts_at_half_the_depth() -> None:
    shallow = run(tracker(), pulses(120, (20, 90, 4.0), (40, 56, 3.3)))
    deep = run(tracker(), pulses(120, (20, 90, 4.0), (40, 56, 3.2)))
    assert boxes(shallow) == [(20, 90)]
    assert boxes(deep) == [(20, 40), (56, 90)]


def test_a_faint_blip_is_not_glued_to_a_call_across_quiet() -> None:
    events = run(tracker(), pulses(100, (20, 40, 5.0), (50, 55, -2.0)))
    assert boxes(events) == [(20, 40), (50, 55)]


def test_boxes_that_are_too_short_are_dropped() -> None:
    assert run(tracker(), pulses(50, (20, 22, 8.0))) == []


def test_a_long_event_goes_on_as_linked_ones() -> None:
    events = run(tracker(longest=100), pulses(400, (30, 280, 3.0)))
    assert boxes(events) == [(30, 130), (130, 230), (230, 280)]
    assert [event.linked for event in events] == [False, True, True]


def test_events_are_sent_within_the_stated_latency() -> None:
    stage = tracker(longest=100)
    rng = np.random.default_rng(2)
    x = np.where(rng.random(200) < 0.5, 4.0, -2.0).repeat(20) + rng.normal(0, 0.1, 4000)
    sent = 0
    for frame, value in enumerate(x):
        for event in stage.push(scores(np.array([value]), frame)):
            assert frame + 1 - event.end_frame <= stage.latency_frames
            sent += 1
    assert sent > 40


def test_an_event_that_nothing_follows_is_sent_after_the_bridge() -> None:
    stage = tracker()
    x = pulses(100, (20, 40, 4.0))
    sent_at = [frame + 1 for frame in range(100) if stage.push(scores(x[frame : frame + 1], frame))]
    assert sent_at == [40 + stage.rules[0].bridge_frames]


def test_the_rate_cap_keeps_the_first_and_counts_the_rest() -> None:
    spans = [(start, start + 10, 4.0) for start in range(0, 400, 40)]
    stage = tracker(cap=3, hour=200)
    events = run(stage, pulses(390, *spans))
    assert boxes(events) == [(0, 10), (40, 50), (80, 90), (200, 210), (240, 250), (280, 290)]
    assert stage.take_capped() == [CappedHour("class 0", 0, 200, 2), CappedHour("class 0", 200, 390, 2)]
    assert stage.take_capped() == []


def test_a_gap_closes_everything_and_counting_begins_anew() -> None:
    stage = tracker()
    assert stage.push(scores(pulses(50, (40, 50, 4.0)))) == []
    (first,) = stage.push(Gap(500, 7, "overflow"))
    assert stage.push(scores(pulses(12, (0, 10, 4.0)))) == []
    (second,) = stage.flush()
    assert boxes([first, second]) == [(40, 50), (0, 10)]
    assert not second.linked


def test_scores_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(EngineError, match="not finite near frame 0"):
        tracker().push(scores(np.array([0.0, np.nan])))


def test_scores_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="start at frame 7, expected 0"):
        tracker().push(scores(np.zeros(3), 7))


def test_a_floor_below_quiet_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"floor 0\.01799 is below 0\.04743") as caught:
        tracker(floor=-4.0)
    assert "events.floor" in caught.value.hint


@st.composite
def streams(draw: st.DrawFn) -> tuple[np.ndarray, list[int], BoxRule, int, int]:
    n = draw(st.integers(1, 700))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    every = draw(st.sampled_from([3, 10, 40, 300]))
    steps = rng.normal(draw(st.sampled_from([-5.0, -2.0, 2.0])), 4, (n // every + 1, 2))
    logits = np.repeat(steps, every, axis=0)[:n] + rng.normal(0, draw(st.sampled_from([0.0, 1.0])), (n, 2))
    cuts = draw(st.one_of(st.lists(st.integers(0, n), max_size=12), st.just(list(range(1, n)))))
    rule = BoxRule(draw(st.integers(1, 12)), draw(st.sampled_from([0.0, 1.0, 3.0])), draw(st.integers(0, 8)), draw(st.integers(1, 9)))
    return logits.astype(np.float32), cuts, rule, draw(st.sampled_from([1, 20, 77, 400])), draw(st.sampled_from([1, 4, 1000]))


@given(streams())
@settings(max_examples=250, deadline=None)
def test_every_partition_gives_the_same_events(case: tuple[np.ndarray, list[int], BoxRule, int, int]) -> None:
    logits, cuts, rule, longest, cap = case
    whole, parts = (tracker(rule, classes=2, longest=longest, cap=cap, hour=150) for _ in range(2))
    expected = run(whole, logits)
    assert values(run(parts, logits, cuts)) == values(expected)
    assert set(parts.take_capped()) == set(whole.take_capped())
    for one, two in pairwise(expected):
        if one.label == two.label:
            assert one.start_frame < one.end_frame <= two.start_frame
    assert all(event.end_frame - event.start_frame <= longest for event in expected)
