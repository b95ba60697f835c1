"""The rivals without learning find plain calls in plain noise."""

from __future__ import annotations

import numpy as np
import pytest

from detector.errors import LabelError
from detector.evaluate.baseline_tuning import LabelledAudio, tune
from detector.evaluate.baselines import BAND_ENERGY_GRID, PCEN_GRID, BandEnergyDetector, Baseline, PcenDetector

RATE_HZ = 16_000
CALLS = np.array([(2.0, 2.3), (5.0, 5.05), (7.0, 8.0)])


def scene(seed: int = 0, snr: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(10 * RATE_HZ) / RATE_HZ
    samples = rng.normal(0, 0.02, t.size)
    for start, end in CALLS:
        samples[(t >= start) & (t < end)] += snr * np.sin(2 * np.pi * 3000 * t[(t >= start) & (t < end)])
    return samples.astype(np.float32)


@pytest.mark.parametrize("detector", [BandEnergyDetector(), PcenDetector(smoothing_s=3.0)])
def test_calls_are_found_with_their_borders(detector: Baseline) -> None:
    found = detector.candidates(detector.prepare(scene(), RATE_HZ))
    best = sorted(sorted(found, key=lambda c: -c.score)[:3], key=lambda c: c.start_s)
    for candidate, (start, end) in zip(best, CALLS, strict=True):
        assert candidate.start_s == pytest.approx(start, abs=0.02)
        assert candidate.end_s == pytest.approx(end, abs=0.02)


def test_band_power_is_relative_to_a_full_scale_sine() -> None:
    t = np.arange(RATE_HZ) / RATE_HZ
    bands = BandEnergyDetector.prepare(np.sin(2 * np.pi * 3000 * t).astype(np.float32), RATE_HZ)
    assert bands.hop_s == 0.004
    assert bands.power.shape == (250, 7)
    assert bands.power[10:-10].sum(axis=1).mean() == pytest.approx(1.5, rel=0.02)  # Hann spreads a sine over 1.5 bins
    assert bands.power[100].argmax() == 4


@pytest.mark.parametrize("rate_hz", [2000, 22_050, 384_000])
@pytest.mark.parametrize("detector", [BandEnergyDetector(), PcenDetector()])
def test_any_rate_and_length_is_taken(detector: Baseline, rate_hz: int) -> None:
    for n in (0, 1, 100, rate_hz):
        bands = detector.prepare(np.zeros(n, np.float32), rate_hz)
        assert np.isfinite(bands.power).all()
        assert detector.candidates(bands) == []


@pytest.mark.parametrize(
    ("detector", "grid"),
    [
        (BandEnergyDetector(border=14.0, join_s=0.3), {"border": (3.0, 6.0, 14.0), "join_s": (0.02, 0.3), "low_hz": (500.0, 2000.0)}),
        (PcenDetector(border=0.9, gain=0.5), {"border": (0.05, 0.2, 0.9), "gain": (0.5, 0.8), "score": ("mean", "max")}),
    ],
)
def test_tuning_finds_better_settings(detector: Baseline, grid: dict[str, tuple[float | str, ...]]) -> None:
    recordings = [LabelledAudio(scene(seed, 0.08), RATE_HZ, CALLS) for seed in range(2)]
    recordings.append(LabelledAudio(np.random.default_rng(9).normal(0, 0.02, RATE_HZ).astype(np.float32), RATE_HZ, np.zeros((0, 2))))
    tuned = tune(detector, grid, recordings, restarts=1)
    assert tuned.ranking.ap30 > 0.95
    assert tuned.ranking.best_f1 > 0.9
    assert tuned.threshold > 0
    assert tuned.n_tried > 4
    assert tuned == tune(detector, grid, recordings, restarts=1)


def test_tuning_without_labels_is_refused() -> None:
    silent = LabelledAudio(np.zeros(RATE_HZ, np.float32), RATE_HZ, np.zeros((0, 2)))
    with pytest.raises(LabelError, match="no labelled event"):
        tune(BandEnergyDetector(), BAND_ENERGY_GRID, [silent])


def test_the_grids_name_settings_of_their_detectors() -> None:
    assert set(BAND_ENERGY_GRID) <= set(BandEnergyDetector.__dataclass_fields__)
    assert set(PCEN_GRID) <= set(PcenDetector.__dataclass_fields__)
