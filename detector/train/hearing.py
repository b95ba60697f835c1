"""Recordings as the bundle hears them: decoded, resampled, and through the numpy front end of the field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from detector.audio.archive import ArchiveSource, inspect_recording
from detector.audio.resample import StreamResampler
from detector.errors import TrainingError
from detector.model.architecture import FrontendNumbers
from detector.model.frontend import LogMel
from detector.types import AudioBlock, FloatArray, Gap, Recording


class FeatureMaker:
    """Whole recordings to features with the front end of the bundle."""

    def __init__(self, numbers: FrontendNumbers, sample_rate_hz: int) -> None:
        self.numbers = numbers
        self.sample_rate_hz = sample_rate_hz
        self._frames = 1024
        self._mel = LogMel(numbers, sample_rate_hz, self._frames)

    @property
    def hop_s(self) -> float:
        """Seconds in a frame."""
        return self.numbers.hop_samples / self.sample_rate_hz

    def __call__(self, samples: npt.NDArray[np.floating]) -> FloatArray:
        """Features of a whole segment, float32 (frames, mel_bands); silence before and after it."""
        hop, context = self.numbers.hop_samples, self.numbers.context_samples
        n = -(-len(samples) // hop)
        steps = -(-n // self._frames)
        padded = np.zeros(steps * self._frames * hop + 2 * context, np.float32)
        padded[context : context + len(samples)] = samples
        parts = [self._mel(padded[i * self._frames * hop :][: self._mel.n_samples])[0].copy() for i in range(steps)]
        return np.concatenate(parts)[:n]


def read_audio(path: Path, sample_rate_hz: int, longest_s: float | None = None) -> FloatArray:
    """The first channel of a recording at a rate, up to its first gap.

    Raises
    ------
    TrainingError
        If the file is no readable recording.
    """
    samples, rate = native_audio(path)
    if longest_s is not None:
        samples = samples[: round(longest_s * rate)]
    resampler = StreamResampler(rate, sample_rate_hz)
    items = [*resampler.push(AudioBlock(0, samples)), *resampler.flush()]
    return np.concatenate([item.samples for item in items if isinstance(item, AudioBlock)])


def native_audio(path: Path) -> tuple[FloatArray, int]:
    """The first channel of a recording at its own rate, up to its first gap, and that rate.

    Raises
    ------
    TrainingError
        If the file is no readable recording.
    """
    recording = inspect_recording(path, None, None)
    if not isinstance(recording, Recording):
        raise TrainingError(f"{path} cannot be read: {recording.reason}", recording.hint or "leave it out with the recipe's data.exclude")
    blocks: list[FloatArray] = []
    for item in ArchiveSource((recording,), 1, 1 << 20):
        if isinstance(item, Gap):
            break
        blocks.append(item.samples)
    if not blocks:
        raise TrainingError(f"{path} holds no usable sound", "leave it out with the recipe's data.exclude")
    return np.concatenate(blocks), recording.sample_rate_hz
