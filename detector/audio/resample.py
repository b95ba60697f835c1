"""Change the sample rate of a stream, exactly to the sample, whatever the size of its blocks."""

from __future__ import annotations

import numpy as np
import soxr

from detector.errors import AudioError
from detector.types import AudioBlock, FloatArray, Gap

_STEP = 4096
"""Input samples handed to soxr at a time: fixed, so that the output does not depend on the blocks that arrive."""


class StreamResampler:
    """Stage that brings audio to another rate with soxr ("HQ", linear phase, delay compensated).

    Output sample j lies at the time of input sample ``j * from_hz / to_hz``. A segment of n samples becomes one of
    ``ceil(n * to_hz / from_hz)``; see `output_samples`. The output is bit-equal for every partition into blocks.

    Parameters
    ----------
    from_hz, to_hz : int
        Equal rates pass everything through untouched.

    Raises
    ------
    AudioError
        If a rate is not positive.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        if from_hz < 1 or to_hz < 1:
            raise AudioError(f"cannot resample from {from_hz} to {to_hz} Hz", "both rates must be at least 1 Hz")
        self.from_hz = from_hz
        self.to_hz = to_hz
        self.reset()

    def reset(self) -> None:
        """Forget everything; the next block begins a segment."""
        self._soxr = None if self.from_hz == self.to_hz else soxr.ResampleStream(self.from_hz, self.to_hz, 1, dtype="float32", quality="HQ")
        self._waiting: list[FloatArray] = []
        self._n_waiting = 0
        self._taken = 0
        self._given = 0

    def output_samples(self, n_samples: int) -> int:
        """Length of the output for a whole segment of ``n_samples``, in exact integers."""
        return -(-n_samples * self.to_hz // self.from_hz)

    def push(self, item: AudioBlock | Gap) -> list[AudioBlock | Gap]:
        """Take the next block or gap; return what is ready.

        A gap ends the segment: what was still in the filter comes out first, then the gap with its positions at the
        new rate, and the stage starts afresh.

        Raises
        ------
        AudioError
            If the item does not start where the last block ended.
        """
        if item.start_sample != self._taken:
            raise AudioError(
                f"audio continues at sample {item.start_sample} where {self._taken} was expected",
                "missing audio must be announced with a Gap",
            )
        if isinstance(item, AudioBlock):
            self._taken += len(item.samples)
            return self._give(item.samples) if self._soxr is None else self._resample(item.samples)
        out: list[AudioBlock | Gap] = [*self.flush(), self._converted(item)]
        self.reset()
        return out

    def flush(self) -> list[AudioBlock | Gap]:
        """End the segment: return its last samples, so that the whole has its exact length."""
        if self._soxr is None or self._taken == 0:
            return []
        last = np.asarray(self._soxr.resample_chunk(self._joined(), last=True))
        rest = np.zeros(self.output_samples(self._taken) - self._given, np.float32)
        n = min(len(rest), len(last))
        rest[:n] = last[:n]
        return self._give(rest)

    def _resample(self, samples: FloatArray) -> list[AudioBlock | Gap]:
        assert self._soxr is not None  # the caller checked
        self._waiting.append(samples)
        self._n_waiting += len(samples)
        if self._n_waiting < _STEP:
            return []
        joined = self._joined()
        whole = len(joined) // _STEP * _STEP
        parts = [self._soxr.resample_chunk(joined[at : at + _STEP]) for at in range(0, whole, _STEP)]
        self._waiting, self._n_waiting = [joined[whole:]], len(joined) - whole
        return self._give(np.concatenate(parts))

    def _joined(self) -> FloatArray:
        joined = np.concatenate(self._waiting) if self._waiting else np.zeros(0, np.float32)
        return np.ascontiguousarray(joined, np.float32)

    def _give(self, samples: FloatArray) -> list[AudioBlock | Gap]:
        if len(samples) == 0:
            return []
        block = AudioBlock(self._given, samples)
        self._given += len(samples)
        return [block]

    def _converted(self, gap: Gap) -> Gap:
        start = self.output_samples(gap.start_sample)
        if gap.n_samples is None:
            return Gap(start, None, gap.reason)
        return Gap(start, self.output_samples(gap.start_sample + gap.n_samples) - start, gap.reason)
