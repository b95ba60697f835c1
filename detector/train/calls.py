"""Procedural animal calls over a wide space: single voices, and bouts and songs made of them.

A voice is a function of a ``Throat`` that returns one syllable. The space is deliberately wider than any one fauna: fundamentals from
80 Hz to 14 kHz, syllables from 2 ms to 2.5 s, tonal, harmonic, pulsed and noisy. Each voice of ``VOICES`` describes its part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from detector.train.waves import FloatVector, band, contour, envelope, harmonic_tone, n_samples, resonances, shaped_noise, unit_level

GAP_OF_ONE_EVENT_S = 0.02
"""Syllables closer than this are one event."""


@dataclass(frozen=True, slots=True)
class Throat:
    """What a syllable is made with: the same seed gives the same animal's syllable, pitch and tempo vary it a little."""

    rng: np.random.Generator
    sample_rate_hz: int
    pitch: float = 1.0
    tempo: float = 1.0

    def span(self, low_s: float, high_s: float) -> int:
        """Samples of a log-uniform duration."""
        return n_samples(self.log_uniform(low_s, high_s) / self.tempo, self.sample_rate_hz)

    def log_uniform(self, low: float, high: float) -> float:
        """Log-uniform between two values."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def frequency(self, low_hz: float, high_hz: float) -> float:
        """Log-uniform frequency, kept well under Nyquist."""
        ceiling = 0.42 * self.sample_rate_hz
        return min(self.log_uniform(low_hz, high_hz), ceiling) * self.pitch


@dataclass(frozen=True, slots=True)
class Syllable:
    """One unbroken sound of an animal, at unit level, with its band."""

    samples: FloatVector
    low_hz: float
    high_hz: float


@dataclass(frozen=True, slots=True)
class Bout:
    """A call, a series of calls or a song.

    Attributes
    ----------
    samples : float64 (n,)
        Root mean square one inside the events.
    spans_s : tuple of (start, end, low_hz, high_hz)
        The events, in order and apart.
    kind : str
    """

    samples: FloatVector
    spans_s: tuple[tuple[float, float, float, float], ...]
    kind: str


def _tonal(throat: Throat, line_hz: FloatVector, harmonics: int, slope: float, sharpness: tuple[float, float]) -> Syllable:
    levels = np.arange(1, harmonics + 1, dtype=np.float64) ** -slope
    levels *= throat.rng.uniform(0.4, 1.0, harmonics)
    levels[0] = max(levels[0], 0.5)
    tone = harmonic_tone(line_hz, throat.sample_rate_hz, levels)
    tone *= envelope(len(line_hz), *sharpness)
    spread_hz = max(0.03 * float(line_hz.min()), throat.sample_rate_hz / len(line_hz))
    top_hz = min(max(float(line_hz.max()) * min(harmonics, 4), float(line_hz.max()) + spread_hz), 0.499 * throat.sample_rate_hz)
    return Syllable(tone, max(20.0, float(line_hz.min()) - spread_hz), top_hz)


def _edges(throat: Throat) -> tuple[float, float]:
    return float(throat.rng.uniform(0.03, 0.3)), float(throat.rng.uniform(0.1, 0.6))


def _sweep(throat: Throat, shape: tuple[float, ...]) -> Syllable:
    n = throat.span(0.025, 0.7)
    base = throat.frequency(350.0, 10000.0)
    width = throat.log_uniform(1.15, 2.6)
    line = contour(n, base * width ** (np.asarray(shape) - 0.5))
    harmonics = int(throat.rng.integers(1, 5))
    return _tonal(throat, np.minimum(line, 0.46 * throat.sample_rate_hz), harmonics, throat.rng.uniform(1.0, 2.5), _edges(throat))


def sweep_up(throat: Throat) -> Syllable:
    """Rising tone, 25 to 700 ms, 350 Hz to 10 kHz, one fifth to one and a half octaves."""
    return _sweep(throat, (0.0, 1.0))


def sweep_down(throat: Throat) -> Syllable:
    """Falling tone of the same space."""
    return _sweep(throat, (1.0, 0.0))


def sweep_u(throat: Throat) -> Syllable:
    """Falling, then rising."""
    return _sweep(throat, (1.0, 0.0, float(throat.rng.uniform(0.5, 1.0))))


def sweep_arch(throat: Throat) -> Syllable:
    """Rising, then falling."""
    return _sweep(throat, (float(throat.rng.uniform(0.0, 0.5)), 1.0, 0.0))


def whistle(throat: Throat) -> Syllable:
    """Nearly pure and nearly constant tone, 80 ms to 1.5 s, 500 Hz to 9 kHz."""
    n = throat.span(0.08, 1.5)
    line = throat.frequency(500.0, 9000.0) * contour(n, throat.rng.uniform(0.97, 1.03, 4))
    return _tonal(throat, line, 2, 3.0, _edges(throat))


def warble(throat: Throat) -> Syllable:
    """Tone wandering fast through several turns, 100 ms to 1 s."""
    n = throat.span(0.1, 1.0)
    turns = 3 + int(n / throat.sample_rate_hz * throat.rng.uniform(8, 30))
    line = throat.frequency(800.0, 8000.0) * contour(n, 1.5 ** throat.rng.uniform(-1, 1, turns))
    return _tonal(throat, np.minimum(line, 0.46 * throat.sample_rate_hz), int(throat.rng.integers(1, 4)), 2.0, _edges(throat))


def harmonic_stack(throat: Throat) -> Syllable:
    """Many harmonics under a formant-like envelope, 30 to 400 ms, fundamental 200 Hz to 2 kHz (finch notes, meerkats, gulls)."""
    n = throat.span(0.03, 0.4)
    base = throat.frequency(200.0, 2000.0)
    line = base * contour(n, throat.rng.uniform(0.85, 1.2, int(throat.rng.integers(2, 5))))
    centres = throat.rng.uniform(1.0, 9.0, 3) * base
    gain = resonances(centres, 0.15 * centres + base)
    tone = harmonic_tone(line, throat.sample_rate_hz, np.ones(24) * np.arange(1, 25) ** -throat.rng.uniform(0.0, 1.0), gain)
    high = min(float(centres.max()) + 2 * base, 0.47 * throat.sample_rate_hz)
    return Syllable(tone * envelope(n, *_edges(throat)), float(line.min()), high)


def bark(throat: Throat) -> Syllable:
    """Short harmonic sound with noise, 50 to 250 ms, fundamental 150 to 900 Hz (dogs, foxes, deer)."""
    n = throat.span(0.05, 0.25)
    base = throat.frequency(150.0, 900.0)
    line = base * contour(n, (0.8, 1.1, 0.7))
    centres = np.asarray([2.0, 4.5, 9.0]) * base * throat.rng.uniform(0.8, 1.3)
    tone = unit_level(harmonic_tone(line, throat.sample_rate_hz, np.ones(30), resonances(centres, 0.4 * centres)))
    rough = shaped_noise(throat.rng, n, throat.sample_rate_hz, band(base, float(centres[-1]), 2.0))
    mixed = tone + throat.rng.uniform(0.1, 0.8) * rough
    return Syllable(mixed * envelope(n, 0.1, 0.6), 0.7 * base, min(float(centres[-1]), 0.47 * throat.sample_rate_hz))


def howl(throat: Throat) -> Syllable:
    """Long harmonic glide, 0.4 to 2.5 s, fundamental 150 Hz to 1.2 kHz (wolves, loons, gibbons)."""
    n = throat.span(0.4, 2.5)
    line = throat.frequency(150.0, 1200.0) * contour(n, np.exp(throat.rng.normal(0.0, 0.25, 5)))
    return _tonal(throat, line, int(throat.rng.integers(3, 9)), throat.rng.uniform(0.8, 2.0), (0.15, 0.25))


def hoot(throat: Throat) -> Syllable:
    """Low soft tone, 80 to 600 ms, 120 to 900 Hz (owls, doves, grouse)."""
    n = throat.span(0.08, 0.6)
    line = throat.frequency(120.0, 900.0) * contour(n, (0.93, 1.03, 0.97))
    return _tonal(throat, line, 3, 2.5, (0.25, 0.35))


def moan(throat: Throat) -> Syllable:
    """Very low harmonic sound, 0.2 to 1.5 s, 80 to 350 Hz (cattle, seals, elephants)."""
    n = throat.span(0.2, 1.5)
    base = throat.frequency(80.0, 350.0)
    line = base * contour(n, throat.rng.uniform(0.8, 1.2, 4))
    centres = throat.rng.uniform(300.0, 2200.0, 3)
    tone = harmonic_tone(line, throat.sample_rate_hz, np.arange(1, 21) ** -0.7, resonances(centres, 0.3 * centres))
    return Syllable(tone * envelope(n, 0.15, 0.3), float(line.min()), float(centres.max()))


def growl(throat: Throat) -> Syllable:
    """Noise and low harmonics in rough pulses, 0.2 to 1.5 s (cats, bears, boar)."""
    n = throat.span(0.2, 1.5)
    rate = throat.rng.uniform(20.0, 80.0)
    high = throat.frequency(600.0, 3500.0)
    noise = shaped_noise(throat.rng, n, throat.sample_rate_hz, band(80.0, high, 2.0))
    jitter = contour(n, throat.rng.uniform(0.8, 1.25, 8))
    pulses = 0.5 + 0.5 * np.sin(2 * np.pi * np.cumsum(rate * jitter) / throat.sample_rate_hz)
    return Syllable(noise * pulses**1.5 * envelope(n, 0.2, 0.3), 80.0, high)


def noise_burst(throat: Throat) -> Syllable:
    """Band of noise, 15 to 400 ms (hisses, scolds, snorts)."""
    n = throat.span(0.015, 0.4)
    low = throat.frequency(600.0, 5000.0)
    high = min(low * throat.log_uniform(1.5, 4.0), 0.46 * throat.sample_rate_hz)
    noise = shaped_noise(throat.rng, n, throat.sample_rate_hz, band(low, max(high, 1.2 * low), 4.0))
    return Syllable(noise * envelope(n, *_edges(throat)), low, max(high, 1.2 * low))


def buzz(throat: Throat) -> Syllable:
    """Tone or noise modulated at 40 to 250 Hz, 50 ms to 1 s (warblers, sparrows, bees)."""
    n = throat.span(0.05, 1.0)
    centre = throat.frequency(700.0, 8000.0)
    time = np.arange(n) / throat.sample_rate_hz
    rate = throat.log_uniform(40.0, 250.0)
    line = centre * contour(n, throat.rng.uniform(0.9, 1.1, 3)) * (1 + throat.rng.uniform(0.02, 0.15) * np.sin(2 * np.pi * rate * time))
    syllable = _tonal(throat, np.minimum(line, 0.46 * throat.sample_rate_hz), int(throat.rng.integers(1, 4)), 1.5, _edges(throat))
    depth = throat.rng.uniform(0.3, 1.0)
    return Syllable(syllable.samples * (1 - depth * (0.5 + 0.5 * np.cos(2 * np.pi * rate * time))), syllable.low_hz, syllable.high_hz)


def click(throat: Throat) -> Syllable:
    """Damped oscillation, 2 to 15 ms, 400 Hz to 12 kHz (bill snaps, tapping, clicks)."""
    n = throat.span(0.002, 0.015)
    centre = throat.frequency(400.0, 12000.0)
    time = np.arange(n) / throat.sample_rate_hz
    rings = np.sin(2 * np.pi * centre * time + throat.rng.uniform(0, 6.28)) * np.exp(-5.0 * np.arange(n) / n)
    return Syllable(rings, 0.6 * centre, min(1.6 * centre, 0.47 * throat.sample_rate_hz))


def _pulsed(throat: Throat, pulse: Syllable, rate: float, duration_s: float, drift: float) -> Syllable:
    """A pulse repeated at a rate that drifts, as one sound with swelling level."""
    n = n_samples(duration_s / throat.tempo, throat.sample_rate_hz)
    total = np.zeros(n + len(pulse.samples))
    at = 0.0
    while at < n:
        start = int(at)
        total[start : start + len(pulse.samples)] += pulse.samples * throat.rng.uniform(0.85, 1.0)
        at += throat.sample_rate_hz / (rate * (1.0 + drift * at / n))
    return Syllable(total * envelope(len(total), *_edges(throat)), pulse.low_hz, pulse.high_hz)


def trill(throat: Throat) -> Syllable:
    """The same short tone 12 to 60 times a second, 0.2 to 2 s."""
    rate = throat.log_uniform(12.0, 60.0)
    base = throat.frequency(1200.0, 9000.0)
    n = n_samples(0.75 / rate, throat.sample_rate_hz)
    line = contour(n, base * 1.5 ** throat.rng.uniform(-1, 1, 3))
    note = _tonal(throat, np.minimum(line, 0.46 * throat.sample_rate_hz), 2, 2.0, (0.2, 0.4))
    return _pulsed(throat, note, rate, throat.log_uniform(0.2, 2.0), throat.rng.uniform(-0.2, 0.4))


def pulse_train(throat: Throat) -> Syllable:
    """Clicks or short bursts, 15 to 150 a second, 0.1 to 1.5 s (drumming, rattles, woodpeckers)."""
    voice = click if throat.rng.random() < 0.6 else noise_burst
    pulse = voice(Throat(throat.rng, throat.sample_rate_hz, throat.pitch, 4.0))
    short = pulse.samples[: n_samples(0.03, throat.sample_rate_hz)]
    pulse = Syllable(short * envelope(len(short), 0.02, 0.3), pulse.low_hz, pulse.high_hz)
    return _pulsed(throat, pulse, throat.log_uniform(15.0, 150.0), throat.log_uniform(0.1, 1.5), throat.rng.uniform(-0.3, 0.5))


def frog(throat: Throat) -> Syllable:
    """Pulsed croak: damped low tones 20 to 120 a second, 60 ms to 1 s, 250 Hz to 3.5 kHz."""
    centre = throat.frequency(250.0, 3500.0)
    rate = throat.log_uniform(20.0, 120.0)
    n = n_samples(0.9 / rate, throat.sample_rate_hz)
    line = np.full(n, centre)
    note = _tonal(throat, line, int(throat.rng.integers(1, 4)), 1.2, (0.08, 0.8))
    return _pulsed(throat, note, rate, throat.log_uniform(0.06, 1.0), throat.rng.uniform(-0.2, 0.2))


def stridulation(throat: Throat) -> Syllable:
    """Insect song: a narrow high band pulsed 20 to 200 times a second, 50 ms to 2 s, 2.5 to 14 kHz."""
    n = throat.span(0.05, 2.0)
    centre = throat.frequency(2500.0, 14000.0)
    width = throat.rng.uniform(0.02, 0.25)
    high = min(centre * (1 + width), 0.47 * throat.sample_rate_hz)
    carrier = shaped_noise(throat.rng, n, throat.sample_rate_hz, band(centre * (1 - width), high, 8.0))
    rate = throat.log_uniform(20.0, 200.0)
    time = np.arange(n) / throat.sample_rate_hz
    strokes = np.clip(np.sin(2 * np.pi * rate * time) + throat.rng.uniform(-0.3, 0.6), 0.0, None)
    return Syllable(carrier * strokes * envelope(n, 0.1, 0.15), centre * (1 - width), high)


VOICES: dict[str, Callable[[Throat], Syllable]] = {
    voice.__name__: voice
    for voice in (
        sweep_up, sweep_down, sweep_u, sweep_arch, whistle, warble, harmonic_stack, bark, howl, hoot, moan, growl,
        noise_burst, buzz, click, trill, pulse_train, frog, stridulation,
    )
}  # fmt: skip
"""Every voice by name; its docstring gives its space."""

_SINGERS = ("sweep_up", "sweep_down", "sweep_u", "sweep_arch", "whistle", "harmonic_stack", "buzz", "noise_burst", "click", "warble")


def make_bout(rng: np.random.Generator, sample_rate_hz: int, kind: str | None = None, longest_s: float = 6.0) -> Bout:
    """One to twelve calls of one animal: a single call, a series of the same syllable, or a song of several.

    Parameters
    ----------
    rng : numpy.random.Generator
    sample_rate_hz : int
    kind : str, optional
        A name of ``VOICES`` or "song"; drawn when None.
    longest_s : float
        No new syllable begins after this.
    """
    if kind is None:
        kind = str(rng.choice([*VOICES, "song", "song", "song", "song"]))
    names = list(rng.choice(_SINGERS, int(rng.integers(2, 6)))) if kind == "song" else [kind]
    seeds = [int(rng.integers(2**62)) for _ in names]
    repeats = int(rng.integers(1, 5)) if kind == "song" else int(rng.choice((1, 1, 1, 2, 3, 5, 8, 12)))
    gaps = np.exp(rng.uniform(np.log(0.012), np.log(0.12 if kind == "song" else 0.6), len(names)))
    voiced: list[tuple[float, Syllable]] = []
    at = 0.0
    for _ in range(repeats):
        for name, seed, gap in zip(names, seeds, gaps, strict=True):
            throat = Throat(np.random.default_rng(seed), sample_rate_hz, float(rng.normal(1.0, 0.01)), float(rng.normal(1.0, 0.02)))
            syllable = VOICES[name](throat)
            voiced.append((at, syllable))
            at += len(syllable.samples) / sample_rate_hz + float(gap * rng.uniform(0.85, 1.2))
            if at > longest_s:
                return _join(rng, voiced, sample_rate_hz, kind)
    return _join(rng, voiced, sample_rate_hz, kind)


def _join(rng: np.random.Generator, voiced: list[tuple[float, Syllable]], sample_rate_hz: int, kind: str) -> Bout:
    """Lay syllables on one line and give their events."""
    last_at, last = voiced[-1]
    samples = np.zeros(round(last_at * sample_rate_hz) + len(last.samples))
    spans: list[tuple[float, float, float, float]] = []
    for at, syllable in voiced:
        start = round(at * sample_rate_hz)
        samples[start : start + len(syllable.samples)] += unit_level(syllable.samples) * rng.uniform(0.7, 1.0)
        begin, end = audible_span(syllable.samples, sample_rate_hz)
        span = (at + begin, at + end, syllable.low_hz, syllable.high_hz)
        if spans and span[0] - spans[-1][1] < GAP_OF_ONE_EVENT_S:
            before = spans.pop()
            span = (before[0], max(before[1], span[1]), min(before[2], span[2]), max(before[3], span[3]))
        spans.append(span)
    return Bout(samples, tuple(spans), kind)


def audible_span(samples: FloatVector, sample_rate_hz: int, depth_db: float = 20.0) -> tuple[float, float]:
    """Start and end in seconds of the part within ``depth_db`` of the loudest 2 ms."""
    size = max(1, sample_rate_hz // 500)
    n_blocks = -(-len(samples) // size)
    power = np.add.reduceat(samples**2, np.arange(n_blocks) * size)
    loud = np.flatnonzero(power >= power.max() * 10 ** (-depth_db / 10))
    return float(loud[0] * size / sample_rate_hz), float(min((loud[-1] + 1) * size, len(samples)) / sample_rate_hz)
