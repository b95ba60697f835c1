"""Building blocks of synthetic sound: contours, envelopes, shaped noise, harmonic tones, distance.

numpy only, so that a scene can be made without torch or scipy. Every function takes its random generator from the caller.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

FloatVector = npt.NDArray[np.float64]

NYQUIST_MARGIN = 0.47
"""Highest frequency that is synthesised, as a share of the sample rate."""


def n_samples(duration_s: float, sample_rate_hz: int) -> int:
    """Samples of a duration, one at least."""
    return max(1, round(duration_s * sample_rate_hz))


def envelope(n: int, attack: float, decay: float, power: float = 1.0) -> FloatVector:
    """Rise over the share ``attack`` of ``n`` samples and fall over the share ``decay``; raised cosines to a power."""
    shape = np.ones(n)
    rise, fall = max(1, round(n * attack)), max(1, round(n * decay))
    shape[:rise] *= 0.5 - 0.5 * np.cos(np.pi * (np.arange(rise) + 0.5) / rise)
    shape[n - fall :] *= 0.5 + 0.5 * np.cos(np.pi * (np.arange(fall) + 0.5) / fall)
    return np.asarray(shape**power)


def contour(n: int, points: npt.ArrayLike) -> FloatVector:
    """A smooth line through evenly spaced ``points`` (cosine interpolation), ``n`` samples long."""
    values = np.asarray(points, dtype=np.float64)
    position = np.linspace(0.0, len(values) - 1.0, n)
    left = np.minimum(position.astype(np.int64), len(values) - 2)
    weight = 0.5 - 0.5 * np.cos(np.pi * (position - left))
    return np.asarray(values[left] * (1.0 - weight) + values[left + 1] * weight)


def slow_gain(rng: np.random.Generator, n: int, sample_rate_hz: int, every_s: float, spread_db: float) -> FloatVector:
    """A linear gain that wanders: independent normal levels in dB every ``every_s`` seconds, joined smoothly."""
    knots = max(2, int(n / sample_rate_hz / every_s) + 2)
    coarse = min(n, max(2, knots * 16))
    level_db = contour(coarse, rng.normal(0.0, spread_db, knots))
    return np.interp(np.linspace(0.0, coarse - 1.0, n), np.arange(coarse), 10.0 ** (level_db / 20.0))


def harmonic_tone(
    frequency_hz: FloatVector,
    sample_rate_hz: int,
    levels: npt.ArrayLike,
    formants: Callable[[FloatVector], FloatVector] | None = None,
) -> FloatVector:
    """Harmonics of a moving fundamental; partials above the margin under Nyquist are silent.

    Parameters
    ----------
    frequency_hz : float64 (n,)
        Fundamental at each sample.
    levels : array-like (harmonics,)
        Linear level of each harmonic, the fundamental first.
    formants : callable, optional
        Linear gain at a frequency; applied at the moving frequency of each partial.
    """
    phase = 2.0 * np.pi * np.cumsum(frequency_hz) / sample_rate_hz
    total = np.zeros(len(frequency_hz))
    limit = NYQUIST_MARGIN * sample_rate_hz
    for number, level in enumerate(np.asarray(levels, dtype=np.float64), start=1):
        partial_hz = number * frequency_hz
        if level <= 0.0 or partial_hz.min() >= limit:
            continue
        gain = np.where(partial_hz < limit, level, 0.0)
        if formants is not None:
            gain = gain * formants(partial_hz)
        total += gain * np.sin(number * phase)
    return total


def resonances(centres_hz: npt.ArrayLike, widths_hz: npt.ArrayLike) -> Callable[[FloatVector], FloatVector]:
    """A vocal-tract-like gain: a sum of resonance curves over a low floor."""
    centres, widths = np.asarray(centres_hz, dtype=np.float64), np.asarray(widths_hz, dtype=np.float64)

    def gain(frequency_hz: FloatVector) -> FloatVector:
        total = np.full(len(frequency_hz), 0.03)
        for centre, width in zip(centres, widths, strict=True):
            total += 1.0 / (1.0 + ((frequency_hz - centre) / width) ** 2)
        return total

    return gain


_NOISE_BLOCK = 1 << 15


def shaped_noise(rng: np.random.Generator, n: int, sample_rate_hz: int, gain: Callable[[FloatVector], FloatVector]) -> FloatVector:
    """White noise filtered in the frequency domain, with unit root mean square.

    Long noise is made of blocks that overlap by a quarter under sine ramps, whose squares add up to one: the power stays level.
    """
    size = fast_length(n) if n <= 2 * _NOISE_BLOCK else _NOISE_BLOCK
    weights = gain(np.asarray(np.fft.rfftfreq(size, 1.0 / sample_rate_hz), dtype=np.float64))
    if n <= size:
        return unit_level(_filtered(rng, size, weights)[:n].astype(np.float64))
    ramp = size // 4
    hop = size - ramp
    window = np.ones(size)
    window[:ramp] = np.sin(0.5 * np.pi * (np.arange(ramp) + 0.5) / ramp)
    window[-ramp:] = window[ramp - 1 :: -1]
    noise = np.zeros((n + ramp) // hop * hop + hop + size)
    for start in range(0, len(noise) - size + 1, hop):
        noise[start : start + size] += window * _filtered(rng, size, weights)
    return unit_level(noise[ramp : ramp + n])


def _filtered(rng: np.random.Generator, size: int, weights: FloatVector) -> npt.NDArray[np.float32]:
    spectrum = np.fft.rfft(rng.standard_normal(size, dtype=np.float32))
    return np.asarray(np.fft.irfft(spectrum * weights.astype(np.float32), size), dtype=np.float32)


def band(low_hz: float, high_hz: float, steepness: float = 6.0) -> Callable[[FloatVector], FloatVector]:
    """Gain of a band with soft edges; ``steepness`` is the order of each edge."""

    def gain(frequency_hz: FloatVector) -> FloatVector:
        ratio = np.maximum(frequency_hz, 1e-3)
        with np.errstate(over="ignore"):
            return np.asarray(1.0 / np.sqrt((1.0 + (low_hz / ratio) ** (2 * steepness)) * (1.0 + (ratio / high_hz) ** (2 * steepness))))

    return gain


def tilt(exponent: float, corner_hz: float = 20.0) -> Callable[[FloatVector], FloatVector]:
    """Gain falling as frequency to a power: 0 white, 0.5 pink, 1 brown; flat under ``corner_hz``."""

    def gain(frequency_hz: FloatVector) -> FloatVector:
        return np.asarray(np.maximum(frequency_hz / corner_hz, 1.0) ** -exponent)

    return gain


def fast_length(n: int) -> int:
    """The next length whose Fourier transform is quick: small factors only."""
    for candidate in range(n, 2 * n + 2):
        rest = candidate
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return candidate
    return n


def unit_level(samples: FloatVector) -> FloatVector:
    """Scaled to a root mean square of one; silence stays silence."""
    level = float(np.sqrt(np.dot(samples, samples) / max(1, len(samples))))
    return samples / level if level > 0.0 else samples


def far_away(rng: np.random.Generator, samples: FloatVector, sample_rate_hz: int, distance_m: float) -> FloatVector:
    """Sound after a way through air and among trees: treble absorbed, a decaying tail of echoes added.

    Absorption is taken as 3e-9 dB per metre and Hz squared (about 0.03 dB/m at 3 kHz, 0.3 dB/m at 10 kHz). The tail grows with distance.
    """
    tail_s = float(np.clip(0.02 * distance_m**0.5, 0.02, 0.35))
    n_tail = n_samples(tail_s, sample_rate_hz)
    response = np.zeros(n_tail)
    response[0] = 1.0
    decay = np.exp(-6.0 * np.arange(n_tail) / n_tail)
    wet = float(np.clip(distance_m / 250.0, 0.02, 0.6))
    response += rng.standard_normal(n_tail) * decay * wet / np.sqrt(np.sum(decay**2))
    length = fast_length(len(samples) + n_tail)
    frequency_hz = np.fft.rfftfreq(length, 1.0 / sample_rate_hz)
    absorption = 10.0 ** (-3e-9 * distance_m * frequency_hz**2 / 20.0)
    spectrum = np.fft.rfft(samples, length) * np.fft.rfft(response, length) * absorption
    return np.asarray(np.fft.irfft(spectrum, length)[: len(samples) + n_tail])
