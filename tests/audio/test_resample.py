"""Resampling is exact in length and place, and does not depend on the blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.audio.resample import StreamResampler
from detector.errors import AudioError
from detector.types import AudioBlock, Gap


def run(samples: np.ndarray, from_hz: int, to_hz: int, sizes: list[int]) -> np.ndarray:
    stage = StreamResampler(from_hz, to_hz)
    out, at, turn = [], 0, 0
    while at < len(samples):
        block = samples[at : at + sizes[turn % len(sizes)]]
        out += stage.push(AudioBlock(at, block))
        at, turn = at + len(block), turn + 1
    out += stage.flush()
    expected = 0
    for block in out:
        assert isinstance(block, AudioBlock)
        assert block.start_sample == expected
        assert block.samples.dtype == np.float32
        expected += len(block.samples)
    return np.concatenate([block.samples for block in out]) if out else np.zeros(0, np.float32)


def noise(n: int) -> np.ndarray:
    return np.random.default_rng(n).standard_normal(n).astype(np.float32)


RATES = [(48_000, 32_000), (44_100, 32_000), (500_000, 32_000), (8_000, 32_000), (2_000, 32_000), (22_050, 32_000), (32_000, 32_000)]


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_output_is_bit_equal_for_every_block_size(from_hz: int, to_hz: int) -> None:
    samples = noise(30_011)
    whole = run(samples, from_hz, to_hz, [len(samples)])
    assert len(whole) == -(-30_011 * to_hz // from_hz)
    for sizes in ([1000], [4096], [4097, 1], [7, 9000, 333]):
        assert np.array_equal(run(samples, from_hz, to_hz, sizes), whole)
    assert np.array_equal(run(samples[:5000], from_hz, to_hz, [1]), run(samples[:5000], from_hz, to_hz, [5000]))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(RATES), st.integers(0, 20_000), st.lists(st.integers(1, 9000), min_size=1, max_size=8))
def test_length_is_exact_for_every_length_and_partition(rates: tuple[int, int], n: int, sizes: list[int]) -> None:
    from_hz, to_hz = rates
    out = run(noise(n), from_hz, to_hz, sizes)
    assert len(out) == StreamResampler(from_hz, to_hz).output_samples(n) == -(-n * to_hz // from_hz)


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_tiny_segments_keep_their_length(from_hz: int, to_hz: int, n: int) -> None:
    out = run(np.ones(n, np.float32), from_hz, to_hz, [1])
    assert len(out) == -(-n * to_hz // from_hz)
    assert np.isfinite(out).all()


@pytest.mark.parametrize(("from_hz", "to_hz", "tone_hz"), [(500_000, 32_000, 17_000), (48_000, 32_000, 17_500), (44_100, 32_000, 19_000)])
def test_sound_above_the_new_band_is_suppressed_by_80_db(from_hz: int, to_hz: int, tone_hz: int) -> None:
    tone = np.sin(2 * np.pi * tone_hz * np.arange(from_hz) / from_hz).astype(np.float32)
    middle = run(tone, from_hz, to_hz, [8192])[4000:-4000]
    assert 20 * np.log10(np.sqrt(np.mean(middle**2)) / np.sqrt(0.5)) < -80


@pytest.mark.parametrize(("from_hz", "to_hz", "tone_hz"), [(500_000, 32_000, 12_000), (8_000, 32_000, 3_000), (44_100, 32_000, 14_000)])
def test_sound_within_the_band_passes_unchanged_and_in_phase(from_hz: int, to_hz: int, tone_hz: int) -> None:
    tone = np.sin(2 * np.pi * tone_hz * np.arange(from_hz) / from_hz).astype(np.float32)
    out = run(tone, from_hz, to_hz, [8192])
    expected = np.sin(2 * np.pi * tone_hz * np.arange(to_hz) / to_hz)
    assert np.abs(out - expected)[4000:-4000].max() < 1e-3


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_a_click_stays_at_its_time_even_after_ten_minutes(from_hz: int, to_hz: int) -> None:
    length_s = 600 if from_hz <= 48_000 else 60
    samples = np.zeros(length_s * from_hz, np.float32)
    clicks_s = np.array([1, length_s // 2, length_s - 1])
    samples[clicks_s * from_hz] = 1
    out = run(samples, from_hz, to_hz, [1 << 16])
    for click_s in clicks_s:
        around = out[click_s * to_hz - 1000 : click_s * to_hz + 1000]
        assert int(np.abs(around).argmax()) == 1000


def test_a_gap_ends_the_segment_and_keeps_its_place_in_time() -> None:
    stage = StreamResampler(48_000, 32_000)
    samples = noise(10_001)
    out = stage.push(AudioBlock(0, samples)) + stage.push(Gap(10_001, 4_800, "overflow"))
    *blocks, gap = out
    assert sum(len(block.samples) for block in blocks if isinstance(block, AudioBlock)) == 6668
    assert gap == Gap(6668, 3200, "overflow")
    again = stage.push(AudioBlock(0, samples)) + stage.flush()
    joined = [np.concatenate([block.samples for block in items if isinstance(block, AudioBlock)]) for items in (blocks, again)]
    assert np.array_equal(joined[0], joined[1])
    stage.reset()
    assert stage.push(Gap(0, None, "unknown")) == [Gap(0, None, "unknown")]
    assert stage.push(Gap(0, 3, "another")) == [Gap(0, 2, "another")]


def test_equal_rates_pass_through_untouched() -> None:
    stage = StreamResampler(32_000, 32_000)
    block = AudioBlock(0, noise(100))
    assert stage.push(block)[0].samples is block.samples
    assert stage.push(Gap(100, 7, "x")) == [Gap(100, 7, "x")]
    assert stage.flush() == []


def test_audio_that_is_missing_without_a_gap_is_an_error() -> None:
    stage = StreamResampler(48_000, 32_000)
    stage.push(AudioBlock(0, noise(10)))
    with pytest.raises(AudioError, match="sample 11 where 10 was expected"):
        stage.push(AudioBlock(11, noise(10)))
    with pytest.raises(AudioError, match="0 to 32000"):
        StreamResampler(0, 32_000)
