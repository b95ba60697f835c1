"""The ledger of effort tiles every segment."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.stream.effort import EffortMeter
from detector.stream.events import CappedHour
from detector.timeline import FrameGrid
from detector.types import AudioBlock, BandPower, EffortSpan, EffortState, Gap


def audio(start: int, n: int) -> AudioBlock:
    return AudioBlock(start, np.zeros(n, np.float32))


def power(start: int, values: np.ndarray) -> BandPower:
    return BandPower(start, np.asarray(values, np.float32))


def test_minutes_carry_the_mean_level_of_their_frames() -> None:
    meter = EffortMeter(FrameGrid(1000, 1000, 500))
    assert meter.push(audio(0, 130_000)) == []
    values = np.concatenate([np.full((120, 2), 0.1), np.full((120, 2), 0.01), np.full((20, 2), 1.0)])
    first, second = meter.push(power(0, values))
    (third,) = meter.flush()
    assert [(span.start_sample, span.n_samples) for span in (first, second, third)] == [(0, 60_000), (60_000, 60_000), (120_000, 10_000)]
    levels = [span.band_levels_db for span in (first, second, third)]
    assert [round(float(level[1]), 4) for level in levels if level is not None] == [-10.0, -20.0, 0.0]
    assert {span.state for span in (first, second, third)} == {EffortState.ANALYSED}


def test_silence_has_a_level_and_missing_power_has_none() -> None:
    meter = EffortMeter(FrameGrid(8000, 8000, 80))
    meter.push(audio(0, 160))
    meter.push(power(0, np.zeros((2, 1))))
    (silent,) = meter.flush()
    assert silent.band_levels_db is not None
    assert silent.band_levels_db.tolist() == [-200.0]
    meter.push(audio(0, 10))
    (short,) = meter.flush()
    assert short.n_samples == 10
    assert short.band_levels_db is None


def test_a_gap_closes_the_minute_and_is_a_loss() -> None:
    meter = EffortMeter(FrameGrid(8000, 8000, 80))
    meter.push(audio(0, 1000))
    closed, lost = meter.push(Gap(1000, None, "overflow"))
    assert (closed.start_sample, closed.n_samples) == (0, 1000)
    assert lost == EffortSpan(EffortState.LOST, 1000, None, "overflow")
    assert meter.push(Gap(0, 5, "overflow")) == [EffortSpan(EffortState.LOST, 0, 5, "overflow")]


def test_a_capped_hour_is_a_degraded_row_in_source_samples() -> None:
    meter = EffortMeter(FrameGrid(44_100, 32_000, 160))
    meter.push(audio(0, 44_100))
    span = meter.capped(CappedHour("animal", 0, 201, 7))
    assert span == EffortSpan(EffortState.DEGRADED, 0, 44_100, "rate cap: animal", 7)


def test_audio_and_power_out_of_order_are_refused() -> None:
    meter = EffortMeter(FrameGrid(8000, 8000, 80))
    with pytest.raises(ValueError, match="audio starts at 5, expected 0"):
        meter.push(audio(5, 3))
    with pytest.raises(ValueError, match="band power starts at 2, expected 0"):
        meter.push(power(2, np.zeros((1, 1))))
    with pytest.raises(ValueError, match="a gap starts at 9, expected 0"):
        meter.push(Gap(9, 1, "overflow"))


def spans_of(grid: FrameGrid, values: np.ndarray, n_samples: int, cuts: list[int]) -> list[tuple[object, ...]]:
    meter = EffortMeter(grid)
    spans, done = [], 0
    edges = [0, *sorted(cuts), n_samples]
    for start, end in pairwise(edges):
        spans += meter.push(audio(start, end - start))
        ready = max(grid.n_frames(end) - 7, done) if end < n_samples else len(values)
        spans += meter.push(power(done, values[done:ready]))
        done = ready
    spans += meter.flush()
    return [(s.start_sample, s.n_samples, None if s.band_levels_db is None else s.band_levels_db.tobytes()) for s in spans]


@given(st.sampled_from([2000, 3001, 8000]), st.sampled_from([2000, 4000]), st.integers(0, 400_000), st.lists(st.floats(0, 1), max_size=9))
@settings(max_examples=60, deadline=None)
def test_spans_tile_the_segment_for_every_partition(source: int, analysis: int, n_samples: int, shares: list[float]) -> None:
    grid = FrameGrid(source, analysis, 20)
    values = np.random.default_rng(0).random((grid.n_frames(n_samples), 3)).astype(np.float32)
    spans = spans_of(grid, values, n_samples, [int(share * n_samples) for share in shares])
    assert spans == spans_of(grid, values, n_samples, [])
    position = 0
    for start, n, _ in spans:
        assert start == position
        assert isinstance(n, int)
        position += n
    assert position == n_samples
