"""Audio in, events and effort out, segment by segment."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.stream.boxes import BoxRule
from detector.stream.effort import EffortMeter
from detector.stream.events import ClassRule, EventTracker
from detector.stream.pipeline import Outcome, Pipeline
from detector.timeline import FrameGrid
from detector.types import AudioBlock, BandPower, EffortSpan, EffortState, Event, FrameScores, Gap, SegmentEnd

RATE_HZ = 1000
HOP = 10


class SameRate:
    """A resampler for a source that has the bundle's rate."""

    def push(self, item: AudioBlock | Gap) -> list[AudioBlock | Gap]:
        return [item]

    def flush(self) -> list[AudioBlock | Gap]:
        return []

    def reset(self) -> None:
        pass


class LoudnessScorer:
    """Level of each frame as its logit: a real stage with state, small enough for a test."""

    def __init__(self) -> None:
        self.reset()

    def push(self, item: AudioBlock | Gap) -> list[FrameScores | BandPower | Gap]:
        if isinstance(item, Gap):
            return [*self.flush(), item]
        self.rest = np.concatenate([self.rest, item.samples])
        return self._score(len(self.rest) // HOP)

    def flush(self) -> list[FrameScores | BandPower | Gap]:
        if self.rest.size % HOP:
            self.rest = np.concatenate([self.rest, np.zeros(HOP - self.rest.size % HOP, np.float32)])
        return self._score(len(self.rest) // HOP)

    def reset(self) -> None:
        self.frame = 0
        self.rest = np.zeros(0, np.float32)

    def _score(self, n: int) -> list[FrameScores | BandPower | Gap]:
        if n == 0:
            return []
        power = np.square(self.rest[: n * HOP].reshape(n, HOP)).mean(axis=1, keepdims=True)
        start, self.frame, self.rest = self.frame, self.frame + n, self.rest[n * HOP :]
        logits = (10 * power - 5).astype(np.float32)
        return [FrameScores(start, logits, logits), BandPower(start, power.astype(np.float32))]


def pipeline() -> Pipeline:
    rule = ClassRule("animal", 0, -3.0, BoxRule(2, 1.0, 2, 2))
    tracker = EventTracker("animal", [rule], 6000, -2.9, 360_000, 100)
    return Pipeline(SameRate(), LoudnessScorer(), [tracker], EffortMeter(FrameGrid(RATE_HZ, RATE_HZ, HOP)))


def scene(n: int, *calls: tuple[int, int]) -> np.ndarray:
    samples = np.zeros(n, np.float32)
    for start, end in calls:
        samples[start:end] = 1.0
    return samples


def feed(stage: Pipeline, samples: np.ndarray, cuts: list[int]) -> list[Outcome]:
    out = []
    for start, end in pairwise([0, *sorted(cuts), len(samples)]):
        out += stage.push(AudioBlock(start, samples[start:end]))
    return out


def test_a_source_gives_segments_one_after_the_other() -> None:
    stage = pipeline()
    out = feed(stage, scene(90_000, (500, 900), (89_900, 90_000)), [45_000])
    out += stage.push(Gap(90_000, 123, "overflow"))
    out += feed(stage, scene(1_005, (100, 200)), [])
    out += stage.flush()
    first_end = out.index(SegmentEnd(90_000))
    assert out[-1] == SegmentEnd(1_005)
    first, second = out[:first_end], out[first_end + 1 : -1]
    assert [(e.start_frame, e.end_frame) for e in first if isinstance(e, Event)] == [(50, 90), (8990, 9000)]
    assert [(s.state, s.start_sample, s.n_samples) for s in first if isinstance(s, EffortSpan)] == [
        (EffortState.ANALYSED, 0, 60_000),
        (EffortState.ANALYSED, 60_000, 30_000),
        (EffortState.LOST, 90_000, 123),
    ]
    assert [(e.start_frame, e.end_frame) for e in second if isinstance(e, Event)] == [(10, 20)]
    assert [(s.start_sample, s.n_samples) for s in second if isinstance(s, EffortSpan)] == [(0, 1_005)]
    assert stage.flush() == []


def test_a_loss_at_the_very_start_is_a_segment_without_audio() -> None:
    stage = pipeline()
    assert stage.push(Gap(0, None, "unreadable")) == [EffortSpan(EffortState.LOST, 0, None, "unreadable"), SegmentEnd(0)]


def test_every_stage_has_its_time() -> None:
    stage = pipeline()
    feed(stage, scene(5_000, (100, 200)), [])
    assert set(stage.stage_seconds) == {"resample", "score", "events", "effort"}
    assert all(seconds > 0 for seconds in stage.stage_seconds.values())


def test_a_capped_hour_is_written_before_the_segment_ends() -> None:
    stage = pipeline()
    calls = [(start, start + 100) for start in range(0, 102_000, 1_000)]
    out = feed(stage, scene(102_000, *calls), []) + stage.flush()
    assert sum(isinstance(item, Event) for item in out) == 100
    assert EffortSpan(EffortState.DEGRADED, 0, 102_000, "rate cap: animal", 2) in out[:-1]


def contents(out: list[Outcome]) -> list[str]:
    return sorted(repr((item, item.embedding.tobytes())) if isinstance(item, Event) else repr(item) for item in out)


@given(st.lists(st.integers(0, 70_000), max_size=20), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_block_sizes_do_not_matter(cuts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = np.repeat(rng.random(701), 100).astype(np.float32)[:70_000]
    whole, parts = pipeline(), pipeline()
    assert contents(feed(parts, samples, cuts) + parts.flush()) == contents(feed(whole, samples, []) + whole.flush())
