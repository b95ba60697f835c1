"""Recordings as the bundle hears them: decoded, resampled, and through the numpy front end of the field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    recording = inspect_recording(path, None, None)
    if not isinstance(recording, Recording):
        raise TrainingError(f"{path} cannot be read: {recording.reason}", recording.hint or "leave it out with the recipe's data.exclude")
    resampler = StreamResampler(recording.sample_rate_hz, sample_rate_hz)
    blocks: list[FloatArray] = []
    left = np.inf if longest_s is None else longest_s * sample_rate_hz
    for item in _first_segment(ArchiveSource((recording,), 1, 1 << 16), resampler):
        blocks.append(item.samples)
        left -= len(item.samples)
        if left <= 0:
            break
    if not blocks:
        raise TrainingError(f"{path} holds no usable sound", "leave it out with the recipe's data.exclude")
    return np.concatenate(blocks)[: None if longest_s is None else round(longest_s * sample_rate_hz)]


def _first_segment(source: Iterable[AudioBlock | Gap], resampler: StreamResampler) -> Iterator[AudioBlock]:
    for item in source:
        if isinstance(item, Gap):
            break
        yield from (block for block in resampler.push(item) if isinstance(block, AudioBlock))
    yield from (block for block in resampler.flush() if isinstance(block, AudioBlock))
