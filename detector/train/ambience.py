"""Procedural backgrounds and hard negatives: what a recorder hears when no animal calls.

Every function returns float64 samples at unit root mean square (over the part that sounds). numpy only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from detector.train.waves import (
    FloatVector,
    band,
    contour,
    envelope,
    harmonic_tone,
    n_samples,
    resonances,
    shaped_noise,
    slow_gain,
    tilt,
    unit_level,
)

Sound = Callable[[np.random.Generator, int, int], FloatVector]


def air(rng: np.random.Generator, n: int, sample_rate_hz: int) -> FloatVector:
    """Steady noise of any colour from white to brown, wandering slowly by a few dB."""
    noise = shaped_noise(rng, n, sample_rate_hz, tilt(rng.uniform(0.0, 1.1), rng.uniform(20.0, 300.0)))
    return noise * slow_gain(rng, n, sample_rate_hz, rng.uniform(0.5, 4.0), rng.uniform(0.5, 3.0))


def wind(rng: np.random.Generator, n: int, sample_rate_hz: int) -> FloatVector:
    """Gusts: low rumble with fast buffeting, and a weaker hiss of leaves that follows them."""
    gusts = slow_gain(rng, n, sample_rate_hz, rng.uniform(1.0, 3.0), rng.uniform(4.0, 8.0))
    flutter = slow_gain(rng, n, sample_rate_hz, 0.08, 3.0)
    rumble = shaped_noise(rng, n, sample_rate_hz, tilt(rng.uniform(0.9, 1.5), rng.uniform(30.0, 120.0)))
    leaves = shaped_noise(rng, n, sample_rate_hz, band(rng.uniform(1000.0, 3000.0), rng.uniform(5000.0, 9000.0), 1.0))
    return unit_level(rumble * gusts * flutter + rng.uniform(0.02, 0.3) * leaves * gusts**0.7)


def _drops(rng: np.random.Generator, n: int, sample_rate_hz: int, per_s: float, low_hz: float, high_hz: float) -> FloatVector:
    """Damped rings at random times: rain on leaves, or bubbles of a stream."""
    total = np.zeros(n)
    size = n_samples(0.025, sample_rate_hz)
    time = np.arange(size) / sample_rate_hz
    for _ in range(rng.poisson(per_s * n / sample_rate_hz)):
        at = int(rng.integers(n))
        tone_hz = min(float(np.exp(rng.uniform(np.log(low_hz), np.log(high_hz)))), 0.45 * sample_rate_hz)
        ring = np.sin(2 * np.pi * tone_hz * (1 + 4 * time) * time) * np.exp(-time * rng.uniform(200.0, 900.0))
        stop = min(at + size, n)
        total[at:stop] += rng.lognormal(0.0, 0.8) * ring[: stop - at]
    return total


def rain(rng: np.random.Generator, n: int, sample_rate_hz: int) -> FloatVector:
    """Single drops of many sizes over a hiss; from dripping to a downpour."""
    drops = unit_level(_drops(rng, n, sample_rate_hz, float(np.exp(rng.uniform(0.7, 5.0))), 700.0, 9000.0))
    hiss = shaped_noise(rng, n, sample_rate_hz, band(rng.uniform(500.0, 2000.0), rng.uniform(7000.0, 13000.0), 1.0))
    return unit_level(drops + rng.uniform(0.1, 1.5) * hiss)


def stream(rng: np.random.Generator, n: int, sample_rate_hz: int) -> FloatVector:
    """Running water: broad noise and many bubbles."""
    flow = shaped_noise(rng, n, sample_rate_hz, band(rng.uniform(150.0, 500.0), rng.uniform(2500.0, 7000.0), 1.0))
    bubbles = unit_level(_drops(rng, n, sample_rate_hz, rng.uniform(20.0, 90.0), 300.0, 2500.0))
    return unit_level(flow * slow_gain(rng, n, sample_rate_hz, 0.4, 1.5) + rng.uniform(0.1, 0.6) * bubbles)


def traffic(rng: np.random.Generator, n: int, sample_rate_hz: int) -> FloatVector:
    """A distant road: low noise that swells and fades."""
    noise = shaped_noise(rng, n, sample_rate_hz, band(40.0, rng.uniform(400.0, 1500.0), 1.5))
    return noise * slow_gain(rng, n, sample_rate_hz, rng.uniform(2.0, 6.0), 4.0)


def hum(rng: np.random.Generator, n: int, sample_rate_hz: int) -> FloatVector:
    """Mains hum with its harmonics."""
    line = np.full(n, float(rng.choice((50.0, 60.0))))
    return unit_level(harmonic_tone(line, sample_rate_hz, rng.uniform(0.0, 1.0, 12) * np.arange(1, 13) ** -0.8))


def engine(rng: np.random.Generator, n: int, sample_rate_hz: int) -> FloatVector:
    """A motor, propeller or chainsaw: many harmonics of 20 to 160 Hz that drift, with noise, coming and going."""
    line = float(np.exp(rng.uniform(np.log(20.0), np.log(160.0)))) * contour(n, np.exp(rng.normal(0.0, 0.06, 2 + n // sample_rate_hz)))
    centres = rng.uniform(150.0, 3000.0, 3)
    levels = np.arange(1, 41) ** -rng.uniform(0.3, 1.2)
    tone = unit_level(harmonic_tone(line, sample_rate_hz, levels, resonances(centres, centres)))
    noise = shaped_noise(rng, n, sample_rate_hz, band(60.0, rng.uniform(800.0, 5000.0), 1.0))
    passing = slow_gain(rng, n, sample_rate_hz, rng.uniform(3.0, 8.0), rng.uniform(1.0, 7.0))
    return unit_level((tone + rng.uniform(0.2, 1.0) * noise) * passing)


def handling(rng: np.random.Generator, n: int, sample_rate_hz: int) -> FloatVector:
    """Thumps, rubs and clicks of somebody touching the recorder, or of twigs and fire."""
    total = np.zeros(n)
    for _ in range(1 + rng.poisson(rng.uniform(0.5, 6.0) * n / sample_rate_hz)):
        size = min(n, n_samples(float(np.exp(rng.uniform(np.log(0.001), np.log(0.2)))), sample_rate_hz))
        at = int(rng.integers(n - size + 1))
        low = float(np.exp(rng.uniform(np.log(60.0), np.log(2500.0))))
        knock = shaped_noise(rng, size, sample_rate_hz, band(low, low * rng.uniform(2.0, 12.0), 1.5))
        total[at : at + size] += rng.lognormal(0.0, 0.8) * knock * envelope(size, 0.02, 0.9, 3.0)
    return unit_level(total)


def beeps(rng: np.random.Generator, n: int, sample_rate_hz: int) -> FloatVector:
    """Electronic beeps: exactly constant tones with hard edges in a strict rhythm, all equal."""
    tone_hz = min(float(np.exp(rng.uniform(np.log(400.0), np.log(5000.0)))), 0.3 * sample_rate_hz)
    period, share = rng.uniform(0.25, 2.0), rng.uniform(0.1, 0.6)
    time = np.arange(n) / sample_rate_hz
    on = ((time / period + rng.uniform()) % 1.0) < share
    wave = harmonic_tone(np.full(n, tone_hz), sample_rate_hz, (1.0, 0.0, 0.33, 0.0, 0.2))
    return unit_level(wave * on)


def _voiced(rng: np.random.Generator, n: int, sample_rate_hz: int, base_hz: float) -> FloatVector:
    """A vowel-like sound with two or three moving formants, in two halves."""
    line = base_hz * contour(n, rng.uniform(0.85, 1.2, 3))
    first = np.asarray((rng.uniform(280.0, 850.0), rng.uniform(850.0, 2300.0), rng.uniform(2300.0, 3200.0)))
    second = first * rng.uniform(0.75, 1.3, 3)
    levels = np.arange(1, 41) ** -1.0
    ends = [harmonic_tone(line, sample_rate_hz, levels, resonances(formants, (60.0, 90.0, 150.0))) for formants in (first, second)]
    fade = np.linspace(0.0, 1.0, n)
    return unit_level(ends[0] * (1 - fade) + ends[1] * fade) * envelope(n, 0.15, 0.25)


def speech(rng: np.random.Generator, n: int, sample_rate_hz: int) -> FloatVector:
    """Speech-like babble: three to six syllables a second of vowels and fricatives, with pauses. Nobody says anything."""
    total = np.zeros(n)
    base_hz = float(np.exp(rng.uniform(np.log(85.0), np.log(260.0))))
    at = int(rng.uniform(0.0, 0.3) * sample_rate_hz)
    while at < n:
        if rng.random() < 0.6:
            size = n_samples(rng.uniform(0.03, 0.12), sample_rate_hz)
            low = rng.uniform(1500.0, 4500.0)
            hiss = shaped_noise(rng, size, sample_rate_hz, band(low, low * rng.uniform(1.5, 2.5), 2.0)) * envelope(size, 0.3, 0.3)
            _add(total, rng.uniform(0.1, 0.5) * hiss, at)
            at += size
        size = n_samples(rng.uniform(0.07, 0.28), sample_rate_hz)
        _add(total, rng.uniform(0.5, 1.0) * _voiced(rng, size, sample_rate_hz, base_hz * rng.uniform(0.85, 1.2)), at)
        at += size
        if rng.random() < 0.15:
            at += n_samples(rng.uniform(0.2, 1.0), sample_rate_hz)
    return unit_level(total)


def _add(total: FloatVector, sound: FloatVector, at: int) -> None:
    stop = min(at + len(sound), len(total))
    if at < stop:
        total[at:stop] += sound[: stop - at]


BACKGROUNDS: dict[str, Sound] = {sound.__name__: sound for sound in (air, wind, rain, stream, traffic, hum)}
"""Sounds that fill a recording."""

INTRUSIONS: dict[str, Sound] = {sound.__name__: sound for sound in (engine, handling, beeps, speech)}
"""Sounds of people and things that come and go: hard negatives."""
