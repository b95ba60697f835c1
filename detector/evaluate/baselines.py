"""Two detectors without learning, to be beaten: band energy over an adaptive floor, and energy after PCEN.

Both work on 4 ms frames. Each gives candidate boxes with borders at a fixed level and a score, so that they are compared like a bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.ndimage import percentile_filter, uniform_filter1d
from scipy.signal import lfilter

from detector.types import FloatArray

FRAME_S = 0.004
_WINDOW_FRAMES = 2
_EDGES_HZ = (150.0, 300.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 15_000.0)
_PCEN_BANDS = 32
_BLOCK_FRAMES = 4096
_FLOOR_STEP_FRAMES = 25
_LEAST_POWER = 1e-12
_PCEN_SCALE = 2.0**31

Curve: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bands:
    """What a detector needs of a recording.

    Attributes
    ----------
    hop_s : float
        About 4 ms: a whole number of samples.
    power : float32 (frames, bands)
    """

    hop_s: float
    power: FloatArray


@dataclass(frozen=True, slots=True)
class Candidate:
    """A box and its score."""

    start_s: float
    end_s: float
    score: float


@dataclass(frozen=True, slots=True)
class BandEnergyDetector:
    """Energy of a band in dB over a running quantile of itself.

    Attributes
    ----------
    low_hz, high_hz : float
        The band; one of 150, 300, 500, 1000, 2000, 4000, 8000, 15000 each.
    smooth_frames : int
        Length of the running mean of the energy.
    floor_s, floor_percent : float
        Window and percentile of the noise floor.
    border : float
        Frames this many dB above the floor belong to an event.
    join_s, min_s : float
        Gaps up to the one are closed, then boxes shorter than the other dropped.
    score : str
        "mean" or "max" of the excess over the box.
    """

    low_hz: float = 500.0
    high_hz: float = 15_000.0
    smooth_frames: int = 3
    floor_s: float = 5.0
    floor_percent: float = 50.0
    border: float = 6.0
    join_s: float = 0.02
    min_s: float = 0.012
    score: Literal["mean", "max"] = "mean"

    @staticmethod
    def prepare(samples: FloatArray, sample_rate_hz: int) -> Bands:
        """Power between neighbouring edges."""
        return _bands(samples, sample_rate_hz, np.array(_EDGES_HZ))

    def candidates(self, bands: Bands) -> list[Candidate]:
        first, last = _EDGES_HZ.index(self.low_hz), _EDGES_HZ.index(self.high_hz)
        energy = bands.power[:, first:last].sum(axis=1, dtype=np.float64)
        energy = uniform_filter1d(energy, self.smooth_frames, mode="nearest")
        level = 10.0 * np.log10(np.maximum(energy, _LEAST_POWER))
        excess = level - _running_quantile(level, self.floor_s / bands.hop_s, self.floor_percent)
        return _cut(excess, bands.hop_s, self.border, self.join_s, self.min_s, self.score)


@dataclass(frozen=True, slots=True)
class PcenDetector:
    """Per-channel energy normalisation (Wang et al. 2017, equation 1), averaged over bands, above its own running quantile.

    Starting values after Lostanlen et al. 2019, "Per-channel energy normalization: why and how", section V (outdoor recordings).

    Attributes
    ----------
    low_hz : float
        Bands below it are left out.
    smoothing_s : float
        Time constant of the automatic gain control.
    gain, bias, root : float
        Alpha, delta and r.
    top_bands : int
        The mean is over this many bands, the highest of each frame.
    smooth_frames, floor_s, floor_percent, border, join_s, min_s, score
        As in `BandEnergyDetector`; ``border`` in units of ``bias ** root``.
    """

    low_hz: float = 500.0
    smoothing_s: float = 0.4
    gain: float = 0.8
    bias: float = 10.0
    root: float = 0.25
    top_bands: int = 8
    smooth_frames: int = 3
    floor_s: float = 5.0
    floor_percent: float = 50.0
    border: float = 0.1
    join_s: float = 0.02
    min_s: float = 0.012
    score: Literal["mean", "max"] = "mean"

    @staticmethod
    def prepare(samples: FloatArray, sample_rate_hz: int) -> Bands:
        """Power in 32 bands of equal ratio from 150 Hz to 15 kHz."""
        return _bands(samples, sample_rate_hz, _pcen_edges())

    def candidates(self, bands: Bands) -> list[Candidate]:
        if not len(bands.power):
            return []
        wanted = _pcen_edges()[:-1] >= self.low_hz * 0.999
        energy = bands.power[:, wanted].astype(np.float64) * _PCEN_SCALE
        coefficient = 1.0 - np.exp(-bands.hop_s / self.smoothing_s)
        start = energy[:1] * (1.0 - coefficient)
        smoothed, _ = lfilter([coefficient], [1.0, coefficient - 1.0], energy, axis=0, zi=start)
        normalised = (energy / (1e-6 + smoothed) ** self.gain / self.bias + 1.0) ** self.root - 1.0
        n_top = min(self.top_bands, normalised.shape[1])
        pooled = np.partition(normalised, -n_top, axis=1)[:, -n_top:].mean(axis=1)
        pooled = uniform_filter1d(pooled, self.smooth_frames, mode="nearest")
        excess = pooled - _running_quantile(pooled, self.floor_s / bands.hop_s, self.floor_percent)
        return _cut(excess, bands.hop_s, self.border, self.join_s, self.min_s, self.score)


def _pcen_edges() -> Curve:
    return np.geomspace(_EDGES_HZ[0], _EDGES_HZ[-1], _PCEN_BANDS + 1)


def _bands(samples: FloatArray, sample_rate_hz: int, edges_hz: Curve) -> Bands:
    """Power spectrogram (Hann, 8 ms, hop 4 ms) summed between edges; a band narrower than a bin shares the bin by width."""
    hop = max(round(FRAME_S * sample_rate_hz), 1)
    window_samples = _WINDOW_FRAMES * hop
    window = np.hanning(window_samples + 1)[:-1].astype(np.float32) if window_samples > 2 else np.ones(window_samples, np.float32)
    share = _band_shares(window_samples, sample_rate_hz, edges_hz) / float(np.square(window.sum() / 2.0))
    n_frames = -(-len(samples) // hop)
    padded = np.concatenate([samples, np.zeros((n_frames + _WINDOW_FRAMES) * hop - len(samples), np.float32)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, window_samples)[::hop][:n_frames]
    power = np.empty((n_frames, len(edges_hz) - 1), np.float32)
    for start in range(0, n_frames, _BLOCK_FRAMES):
        spectrum = np.fft.rfft(frames[start : start + _BLOCK_FRAMES] * window, axis=1)
        power[start : start + _BLOCK_FRAMES] = (np.square(spectrum.real) + np.square(spectrum.imag)) @ share
    return Bands(hop / sample_rate_hz, power)


def _band_shares(window_samples: int, sample_rate_hz: int, edges_hz: Curve) -> Curve:
    """Which share of each bin's power lies in each band: float64 (bins, bands)."""
    width = sample_rate_hz / window_samples
    centres = np.arange(window_samples // 2 + 1) * width
    low = np.maximum(centres[:, None] - width / 2, edges_hz[None, :-1])
    high = np.minimum(centres[:, None] + width / 2, edges_hz[None, 1:])
    share: Curve = np.maximum(high - low, 0.0) / width
    return share


def _running_quantile(curve: Curve, window_frames: float, percent: float) -> Curve:
    """Percentile over a centred window of percentiles of 0.1 s, so that a long window costs little."""
    n = len(curve)
    if n == 0:
        return curve
    n_steps = -(-n // _FLOOR_STEP_FRAMES)
    padded = np.concatenate([curve, np.full(n_steps * _FLOOR_STEP_FRAMES - n, curve[-1])])
    steps = np.percentile(padded.reshape(n_steps, _FLOOR_STEP_FRAMES), percent, axis=1)
    size = max(round(window_frames / _FLOOR_STEP_FRAMES), 1)
    floor = percentile_filter(steps, percent, size=size, mode="nearest")
    middles = (np.arange(n_steps) + 0.5) * _FLOOR_STEP_FRAMES
    running: Curve = np.interp(np.arange(n), middles, floor)
    return running


def _cut(excess: Curve, hop_s: float, border: float, join_s: float, min_s: float, score: Literal["mean", "max"]) -> list[Candidate]:
    hot = np.flatnonzero(excess > border)
    if hot.size == 0:
        return []
    breaks = np.flatnonzero(np.diff(hot) > 1 + join_s / hop_s)
    starts = hot[np.concatenate([[0], breaks + 1])]
    ends = hot[np.concatenate([breaks, [hot.size - 1]])] + 1
    long_enough = (ends - starts) * hop_s >= min_s - 1e-9
    found = []
    for start, end in zip(starts[long_enough].tolist(), ends[long_enough].tolist(), strict=True):
        part = excess[start:end]
        found.append(Candidate(start * hop_s, end * hop_s, float(part.mean() if score == "mean" else part.max())))
    return found


Baseline: TypeAlias = BandEnergyDetector | PcenDetector

BAND_ENERGY_GRID: dict[str, Sequence[float | int | str]] = {
    "low_hz": (150.0, 300.0, 500.0, 1000.0, 2000.0),
    "high_hz": (4000.0, 8000.0, 15_000.0),
    "floor_s": (1.0, 2.0, 5.0, 15.0),
    "floor_percent": (10.0, 25.0, 50.0),
    "smooth_frames": (1, 3, 5, 9),
    "border": (2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 14.0),
    "join_s": (0.0, 0.01, 0.02, 0.04, 0.1, 0.3),
    "min_s": (0.004, 0.012, 0.02, 0.04, 0.1),
    "score": ("mean", "max"),
}

PCEN_GRID: dict[str, Sequence[float | int | str]] = {
    "low_hz": (150.0, 300.0, 500.0, 1000.0, 2000.0),
    "smoothing_s": (0.03, 0.06, 0.2, 0.4, 1.0, 3.0, 10.0),
    "gain": (0.25, 0.5, 0.8, 0.98),
    "bias": (0.5, 2.0, 10.0, 100.0),
    "root": (0.05, 0.1, 0.25, 0.5),
    "top_bands": (2, 4, 8, 16, 32),
    "floor_s": (1.0, 2.0, 5.0, 15.0),
    "floor_percent": (10.0, 25.0, 50.0),
    "smooth_frames": (1, 3, 5, 9),
    "border": (0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.5),
    "join_s": (0.0, 0.01, 0.02, 0.04, 0.1, 0.3),
    "min_s": (0.004, 0.012, 0.02, 0.04, 0.1),
    "score": ("mean", "max"),
}
