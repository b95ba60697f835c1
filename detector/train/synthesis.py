"""Synthetic recordings with calls at known times: for the demonstration, for training and for tests.

A scene is a background (air, wind, rain, stream, traffic, hum), a few intrusions that are not animals (engine, handling noise, beeps,
speech-like babble) and bouts of procedural animal calls, each at its own distance and level, all drawn from one seed. numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detector.errors import TrainingError
from detector.train.ambience import BACKGROUNDS, INTRUSIONS
from detector.train.calls import Bout, make_bout
from detector.train.waves import FloatVector, band, far_away, shaped_noise, unit_level

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 2_000, 500_000


@dataclass(frozen=True, slots=True)
class SceneLabel:
    """A planted call: where it is, and how far it stands out.

    Attributes
    ----------
    start_s, end_s : float
        Of the sound within 20 dB of its own peak.
    low_hz, high_hz : float
    kind : str
        A name of ``calls.VOICES``, or "song".
    snr_db : float
        Level of the bout against the background within the bout's band.
    """

    start_s: float
    end_s: float
    low_hz: float
    high_hz: float
    kind: str
    snr_db: float


@dataclass(frozen=True, slots=True)
class Scene:
    """A synthetic recording.

    Attributes
    ----------
    samples : float32 (n,)
        Mono, full scale is 1.0.
    sample_rate_hz : int
    labels : tuple of SceneLabel
        In order of start.
    """

    samples: npt.NDArray[np.float32]
    sample_rate_hz: int
    labels: tuple[SceneLabel, ...]


def random_scene(
    seed: int,
    sample_rate_hz: int = 32_000,
    duration_s: float = 30.0,
    n_bouts: int = 6,
    snr_db: tuple[float, float] = (-5.0, 30.0),
    intrusions: int = 1,
) -> Scene:
    """A scene with anything in it: any kinds of call, overlap allowed, any background, now and then clipped.

    Parameters
    ----------
    seed : int
        Everything is drawn from it.
    sample_rate_hz : int
        2 kHz to 500 kHz.
    duration_s : float
        At least 1 s.
    n_bouts : int
        Single calls, series or songs; each has one label or more.
    snr_db : tuple of float
        Range of the level of a bout over the background in the bout's own band.
    intrusions : int
        How many sounds that are not animals are mixed in.

    Raises
    ------
    TrainingError
        If the rate, duration or a count cannot be used.
    """
    _check(sample_rate_hz, duration_s, n_bouts, intrusions)
    rng = np.random.default_rng(seed)
    n = round(duration_s * sample_rate_hz)
    background = make_background(rng, n, sample_rate_hz)
    for _ in range(intrusions):
        _intrude(rng, background, sample_rate_hz, float(rng.uniform(-10.0, 12.0)))
    labels: list[SceneLabel] = []
    total = background.copy()
    for _ in range(n_bouts):
        bout = make_bout(rng, sample_rate_hz, longest_s=0.4 * duration_s)
        at_s = float(rng.uniform(0.0, max(0.01, duration_s - len(bout.samples) / sample_rate_hz)))
        labels += _plant(rng, total, background, bout, at_s, sample_rate_hz, float(rng.uniform(*snr_db)), float(rng.uniform(2.0, 120.0)))
    overdrive_db = float(rng.uniform(0.0, 9.0)) if rng.random() < 0.05 else -float(rng.uniform(1.0, 30.0))
    return _finish(total, sample_rate_hz, labels, overdrive_db)


def demo_scene(seed: int, sample_rate_hz: int = 48_000, duration_s: float = 180.0) -> Scene:
    """A recording that could be real: an evening at a stream, with wind, and 20 to 40 calls at known times.

    Twelve kinds of caller take turns and do not overlap: songs, whistles, trills, hoots, frogs, crickets, a howl, barks, buzzes,
    tapping. Each is 3 to 30 dB above the stream and wind within its own band. An engine passes far away, unlabelled. A bout with several
    calls has a label for each call. Three minutes at 48 kHz take two to four seconds.

    Parameters
    ----------
    seed : int
        The same seed gives the same samples and labels.
    sample_rate_hz : int
        8 kHz or more, so that the callers fit under Nyquist.
    duration_s : float
        30 s or more; the number of calls grows with it.

    Raises
    ------
    TrainingError
        If the rate or duration cannot be used.
    """
    _check(sample_rate_hz, duration_s, 1, 0)
    if sample_rate_hz < 8_000 or duration_s < 30.0:
        raise TrainingError(
            f"a demonstration of {duration_s:g} s at {sample_rate_hz} Hz leaves no room for its calls",
            "use 30 s or more at 8000 Hz or more; random_scene makes anything else",
        )
    rng = np.random.default_rng(seed)
    background = _evening(rng, round(duration_s * sample_rate_hz), sample_rate_hz)
    total = background.copy()
    labels: list[SceneLabel] = []
    bouts = _callers(rng, sample_rate_hz, most=max(3, round(duration_s / 5.2)))
    spare_s = duration_s - 1.5 - sum(len(bout.samples) for bout in bouts) / sample_rate_hz
    pauses_s = rng.uniform(0.4, 1.6, len(bouts))
    pauses_s *= spare_s / pauses_s.sum()
    at_s = 0.5
    for bout, pause_s in zip(bouts, pauses_s, strict=True):
        at_s += 0.8 * float(pause_s)
        snr_db = float(rng.uniform(3.0, 30.0))
        labels += _plant(rng, total, background, bout, at_s, sample_rate_hz, snr_db, float(rng.uniform(5.0, 60.0)))
        at_s += len(bout.samples) / sample_rate_hz + 0.2 * float(pause_s)
    return _finish(total, sample_rate_hz, labels, -3.0)


_DEMO_KINDS = (
    "song", "whistle", "trill", "hoot", "frog", "stridulation", "howl", "bark", "buzz", "pulse_train", "harmonic_stack", "sweep_arch",
)  # fmt: skip


def _callers(rng: np.random.Generator, sample_rate_hz: int, most: int) -> list[Bout]:
    """Bouts of all kinds in random order, with ``most`` events together and five at most in one bout."""
    bouts: list[Bout] = []
    while most > 0:
        for kind in rng.permutation(_DEMO_KINDS):
            if most > 0:
                bouts.append(_short_bout(rng, sample_rate_hz, str(kind), min(5, most)))
                most -= len(bouts[-1].spans_s)
    return bouts


def _check(sample_rate_hz: int, duration_s: float, n_bouts: int, intrusions: int) -> None:
    if not LOWEST_RATE_HZ <= sample_rate_hz <= HIGHEST_RATE_HZ:
        raise TrainingError(f"a scene cannot have a sample rate of {sample_rate_hz} Hz", f"use {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz")
    if not (np.isfinite(duration_s) and duration_s >= 1.0):
        raise TrainingError(f"a scene cannot last {duration_s} s", "use one second or more")
    if n_bouts < 0 or intrusions < 0:
        raise TrainingError(f"a scene cannot hold {n_bouts} bouts and {intrusions} intrusions", "use zero or more of each")


def make_background(rng: np.random.Generator, n: int, sample_rate_hz: int) -> FloatVector:
    """One to three backgrounds mixed at random levels, unit root mean square."""
    names = rng.choice(list(BACKGROUNDS), int(rng.integers(1, 4)), replace=False)
    total = BACKGROUNDS["air"](rng, n, sample_rate_hz) * 10.0 ** (rng.uniform(-40.0, 0.0) / 20.0)
    for name in names:
        total += BACKGROUNDS[str(name)](rng, n, sample_rate_hz) * 10.0 ** (rng.uniform(-20.0, 0.0) / 20.0)
    return unit_level(total)


def _evening(rng: np.random.Generator, n: int, sample_rate_hz: int) -> FloatVector:
    """Air, a stream, wind, and an engine that passes."""
    total = shaped_noise(rng, n, sample_rate_hz, lambda frequency_hz: np.maximum(frequency_hz / 50.0, 1.0) ** -0.6)
    total += 0.8 * BACKGROUNDS["stream"](rng, n, sample_rate_hz) + 1.5 * BACKGROUNDS["wind"](rng, n, sample_rate_hz)
    _intrude(rng, total, sample_rate_hz, -6.0, "engine", min(1.0, 12.0 * sample_rate_hz / n))
    return unit_level(total)


def _intrude(
    rng: np.random.Generator,
    background: FloatVector,
    sample_rate_hz: int,
    level_db: float,
    kind: str | None = None,
    share: float | None = None,
) -> None:
    """Mix a sound that is no animal into a part of the background."""
    name = str(rng.choice(list(INTRUSIONS))) if kind is None else kind
    part = float(rng.uniform(0.2, 0.9)) if share is None else share
    size = max(1, int(part * len(background)))
    at = int(rng.integers(len(background) - size + 1))
    sound = INTRUSIONS[name](rng, size, sample_rate_hz)
    edge = max(1, min(size // 4, sample_rate_hz * 2))
    ramp = np.linspace(0.0, 1.0, edge)
    if name == "engine":
        sound[:edge] *= ramp
        sound[-edge:] *= ramp[::-1]
    background[at : at + size] += sound * 10.0 ** (level_db / 20.0)


def _short_bout(rng: np.random.Generator, sample_rate_hz: int, kind: str, most: int) -> Bout:
    """A bout of one to ``most`` events and 2.5 s or little more."""
    bout = make_bout(rng, sample_rate_hz, kind, longest_s=2.5)
    cut = bout.spans_s[:most]
    return Bout(bout.samples[: round(cut[-1][1] * sample_rate_hz)], cut, bout.kind)


def _plant(
    rng: np.random.Generator,
    total: FloatVector,
    background: FloatVector,
    bout: Bout,
    at_s: float,
    sample_rate_hz: int,
    snr_db: float,
    distance_m: float,
) -> list[SceneLabel]:
    """Add a bout at a level over the background in its own band; labels that lie outside the scene are cut or dropped."""
    low_hz = min(span[2] for span in bout.spans_s)
    high_hz = max(span[3] for span in bout.spans_s)
    heard = far_away(rng, bout.samples, sample_rate_hz, distance_m)
    start = round(at_s * sample_rate_hz)
    stop = min(start + len(heard), len(total))
    around = background[max(0, start - sample_rate_hz) : stop + sample_rate_hz]
    noise = band_power(around, sample_rate_hz, low_hz, high_hz)
    sounding = _inside(bout, sample_rate_hz)
    signal = band_power(np.where(sounding, heard[: len(sounding)], 0.0), sample_rate_hz, low_hz, high_hz) / max(sounding.mean(), 1e-6)
    heard *= np.sqrt(noise * 10.0 ** (snr_db / 10.0) / max(signal, 1e-30))
    total[start:stop] += heard[: stop - start]
    duration_s = len(total) / sample_rate_hz
    return [
        SceneLabel(at_s + begin, min(at_s + end, duration_s), low, high, bout.kind, snr_db)
        for begin, end, low, high in bout.spans_s
        if at_s + begin < duration_s - 0.002
    ]


def _inside(bout: Bout, sample_rate_hz: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros(len(bout.samples), dtype=np.bool_)
    for begin, end, _, _ in bout.spans_s:
        mask[round(begin * sample_rate_hz) : max(round(end * sample_rate_hz), round(begin * sample_rate_hz) + 1)] = True
    return mask


def band_power(samples: FloatVector, sample_rate_hz: int, low_hz: float, high_hz: float) -> float:
    """Mean power of samples within a band with soft edges."""
    spectrum = np.abs(np.fft.rfft(samples)) ** 2 / len(samples) ** 2
    frequency_hz = np.asarray(np.fft.rfftfreq(len(samples), 1.0 / sample_rate_hz), dtype=np.float64)
    return float(2.0 * np.sum(spectrum * band(low_hz, high_hz)(frequency_hz) ** 2))


def _finish(total: FloatVector, sample_rate_hz: int, labels: list[SceneLabel], peak_db: float) -> Scene:
    """Set the peak, clip what is above full scale, order the labels."""
    peak = float(np.abs(total).max())
    samples = np.clip(total * (10.0 ** (peak_db / 20.0) / max(peak, 1e-12)), -1.0, 1.0).astype(np.float32)
    return Scene(samples, sample_rate_hz, tuple(sorted(labels, key=lambda label: (label.start_s, label.end_s))))
