"""Features mean what the card says, and numpy and torch agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from detector.model.architecture import FrontendNumbers
from detector.model.frontend import WIDE_BANDS, LogMel, band_edges_hz, mel_matrix
from detector.model.student import TorchLogMel
from detector.types import FloatArray

RATE = 32000
NUMBERS = FrontendNumbers()
OTHERS = [
    (2000, FrontendNumbers(window_samples=32, fft_samples=64, hop_samples=10, mel_bands=8, low_hz=20, high_hz=1000)),
    (16000, FrontendNumbers(window_samples=240, fft_samples=256, hop_samples=80, mel_bands=20, low_hz=0, high_hz=8000)),
    (500_000, FrontendNumbers(window_samples=1000, fft_samples=1024, hop_samples=500, mel_bands=96, low_hz=9000, high_hz=220_000)),
]


def sine(hz: float, n: int, rate: int = RATE) -> FloatArray:
    return np.sin(2 * np.pi * hz * np.arange(n) / rate).astype(np.float32)


@pytest.mark.parametrize(("rate", "numbers"), [(RATE, NUMBERS), *OTHERS])
def test_numpy_and_torch_features_are_equal(rate: int, numbers: FrontendNumbers) -> None:
    log_mel = LogMel(numbers, rate, 40)
    rng = np.random.default_rng(3)
    n = 40 * numbers.hop_samples
    audio = (rng.standard_normal(n) * np.geomspace(1e-5, 1, n)).astype(np.float32)
    context = np.zeros(numbers.context_samples, np.float32)
    ours, _ = log_mel(np.concatenate((context, audio, context)))
    theirs = TorchLogMel(numbers, rate)(torch.from_numpy(audio)[None])[0].numpy()
    assert theirs.shape == ours.shape == (40, numbers.mel_bands)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_torch_features_of_a_segment_have_one_frame_for_every_begun_hop() -> None:
    log_mel = TorchLogMel(NUMBERS, RATE)
    assert [log_mel(torch.zeros(1, n)).shape[1] for n in (1, 160, 161, 1600)] == [1, 1, 2, 10]


@pytest.mark.parametrize("band", range(WIDE_BANDS))
def test_a_full_scale_sine_reads_0_db_in_its_band(band: int) -> None:
    edges = band_edges_hz(NUMBERS)
    log_mel = LogMel(NUMBERS, RATE, 256)
    _, power = log_mel(sine(float(np.sqrt(edges[band] * edges[band + 1])), log_mel.n_samples))
    levels = 10 * np.log10(power.mean(0))
    assert levels[band] == pytest.approx(0, abs=0.5)
    assert np.delete(levels, band).max() < -15


@pytest.mark.parametrize("hz", [200, 434, 1000, 2810, 6753, 12000])
def test_all_bands_together_hold_the_power_of_a_sine(hz: float) -> None:
    log_mel = LogMel(NUMBERS, RATE, 256)
    _, power = log_mel(0.1 * sine(hz, log_mel.n_samples))
    assert 10 * np.log10(power.mean(0).sum()) == pytest.approx(-20, abs=0.1)


def test_silence_is_the_floor_and_nothing_is_ever_infinite() -> None:
    log_mel = LogMel(NUMBERS, RATE, 8)
    features, power = log_mel(np.zeros(log_mel.n_samples, np.float32))
    np.testing.assert_allclose(features, (NUMBERS.floor_db - NUMBERS.mean_db) / NUMBERS.std_db, atol=1e-5)
    assert power.max() == 0
    features, _ = log_mel(np.full(log_mel.n_samples, 1000, np.float32))
    assert np.isfinite(features).all()


@pytest.mark.parametrize("frame", [0, 3, 7])
def test_a_click_in_the_middle_of_a_hop_is_loudest_in_that_frame(frame: int) -> None:
    log_mel = LogMel(NUMBERS, RATE, 8)
    audio = np.zeros(log_mel.n_samples, np.float32)
    audio[NUMBERS.context_samples + frame * NUMBERS.hop_samples + NUMBERS.hop_samples // 2] = 1
    features, _ = log_mel(audio)
    assert int(features.mean(1).argmax()) == frame


@pytest.mark.parametrize(("rate", "numbers"), [(RATE, NUMBERS), *OTHERS])
def test_no_mel_band_is_empty(rate: int, numbers: FrontendNumbers) -> None:
    weights = mel_matrix(numbers, rate)
    assert weights.shape == (numbers.fft_samples // 2 + 1, numbers.mel_bands)
    assert weights.min() > -1e-9
    assert (weights.sum(0) > 0).all()
