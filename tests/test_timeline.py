"""Grids are exact integers, clocks interpolate between their knots, and ids depend on what they should and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from detector.timeline import NANOSECONDS, Clock, ClockKnot, FrameGrid, archive_segment_id, event_id, run_id

RATES = st.sampled_from([2_000, 8_000, 22_050, 44_100, 48_000, 96_000, 192_000, 250_000, 384_000, 500_000])


def knot(sample: int, utc_ns: int | None) -> ClockKnot:
    return ClockKnot(sample, utc_ns, None, None, "test")


@given(rate=RATES, n=st.integers(1, 10**13))
def test_the_frames_of_a_segment_cover_it_and_no_more(rate: int, n: int) -> None:
    grid = FrameGrid(rate, 32_000, 160)
    frames = grid.n_frames(n)
    assert grid.sample(frames - 1) < n
    assert frames * 160 * rate >= n * 32_000


@given(rate=RATES, frame=st.integers(0, 10**12))
def test_the_sample_of_a_frame_is_exact_after_any_time(rate: int, frame: int) -> None:
    grid = FrameGrid(rate, 32_000, 160)
    assert 0 <= frame * 160 * rate - grid.sample(frame) * 32_000 < 32_000


def test_a_clock_without_a_known_time_says_so() -> None:
    assert Clock(48_000, ()).utc_ns(5) is None
    assert Clock(48_000, (knot(0, None),)).utc_ns(5) is None


def test_a_clock_runs_at_the_nominal_rate_outside_its_knots_and_bends_between_them() -> None:
    clock = Clock(1_000, (knot(0, 0), knot(1_000, 1_001 * NANOSECONDS // 1_000), knot(2_000, None)))
    assert clock.utc_ns(500) == 500_500_000
    assert clock.utc_ns(1_000) == 1_001_000_000
    assert clock.utc_ns(3_000) == 3_001_000_000
    assert clock.utc_ns(-1_000) == -NANOSECONDS


def test_ids_are_stable_and_tell_apart() -> None:
    run = run_id("bundle", "{}")
    assert run == run_id("bundle", "{}")
    assert len({run, run_id("bundle", "{} "), run_id("bundles", "{}"), run_id("bundle", "{}", 99)}) == 4
    segment = archive_segment_id("hash", "1", 0)
    assert len({segment, archive_segment_id("hash", "2", 0), archive_segment_id("hash", "1", 1)}) == 3
    assert len({event_id(run, segment, "h", "l", 0), event_id(run, segment, "h", "l", 1), event_id(run, segment, "h", "m", 0)}) == 3
