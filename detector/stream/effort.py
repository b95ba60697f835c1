"""The ledger of effort: what was analysed, minute by minute, and what was lost."""

from __future__ import annotations

import numpy as np

from detector.stream.events import CappedHour
from detector.timeline import FrameGrid
from detector.types import AudioBlock, BandPower, EffortSpan, EffortState, FloatArray, Gap

MINUTE_S = 60

_LEAST_POWER = 1e-20
"""-200 dB: digital silence has a level too."""


class EffortMeter:
    """Analysed spans of one minute, counted from the segment's start, that tile it exactly; losses after them.

    A minute is sent when its audio and the band power of all its frames have been seen. The last one of a segment may be shorter.

    Parameters
    ----------
    grid : FrameGrid
        Puts the frames of `BandPower` on the samples of the source.
    """

    def __init__(self, grid: FrameGrid) -> None:
        self.grid = grid
        self.minute_samples = MINUTE_S * grid.source_rate_hz
        self.reset()

    def reset(self) -> None:
        """Forget the segment."""
        self.n_samples = 0
        self._sent_samples = 0
        self._n_frames = 0
        self._power: list[FloatArray] = []
        self._power_start = 0

    def push(self, item: AudioBlock | BandPower | Gap) -> list[EffortSpan]:
        """Take audio (at the source's rate), the band power that belongs to it, or a gap, which ends the segment.

        Raises
        ------
        ValueError
            If samples or frames do not follow on the ones before.
        """
        if isinstance(item, Gap):
            return self._end_at(item)
        if isinstance(item, AudioBlock):
            _expect("audio", item.start_sample, self.n_samples)
            self.n_samples += len(item.samples)
        else:
            _expect("band power", item.start_frame, self._n_frames)
            self._n_frames += len(item.power)
            if len(item.power):
                self._power.append(item.power)
        spans = []
        while self._minute_is_complete():
            spans.append(self._span(self._sent_samples + self.minute_samples))
        return spans

    def flush(self) -> list[EffortSpan]:
        """End the segment: the last minute, which may be shorter."""
        spans = []
        while self._sent_samples < self.n_samples:
            spans.append(self._span(min(self._sent_samples + self.minute_samples, self.n_samples)))
        self.reset()
        return spans

    def capped(self, hour: CappedHour) -> EffortSpan:
        """A row that says where the rate cap of a class has bitten. It lies over analysed audio."""
        start = self.grid.sample(hour.start_frame)
        end = min(self.grid.sample(hour.end_frame), self.n_samples)
        return EffortSpan(EffortState.DEGRADED, start, end - start, f"rate cap: {hour.label}", hour.count)

    def _end_at(self, gap: Gap) -> list[EffortSpan]:
        _expect("a gap", gap.start_sample, self.n_samples)
        return [*self.flush(), EffortSpan(EffortState.LOST, gap.start_sample, gap.n_samples, gap.reason)]

    def _minute_is_complete(self) -> bool:
        end = self._sent_samples + self.minute_samples
        return self.n_samples >= end and self.grid.sample(self._n_frames) >= end

    def _span(self, end: int) -> EffortSpan:
        """The span up to ``end``, with the mean level of the frames that begin in it."""
        start, self._sent_samples = self._sent_samples, end
        frames = min(self._first_frame_at(end), self._n_frames) - self._power_start
        levels = None
        if frames > 0:
            power = np.concatenate(self._power)
            mean = np.add.reduce(power[:frames].astype(np.float64), axis=0) / frames
            levels = (10.0 * np.log10(np.maximum(mean, _LEAST_POWER))).astype(np.float32)
            self._power = [power[frames:]] if len(power) > frames else []
            self._power_start += frames
        return EffortSpan(EffortState.ANALYSED, start, end - start, band_levels_db=levels)

    def _first_frame_at(self, sample: int) -> int:
        """First frame that begins at or after a source sample."""
        grid = self.grid
        return -(-sample * grid.analysis_rate_hz // (grid.hop_samples * grid.source_rate_hz))


def _expect(what: str, start: int, expected: int) -> None:
    if start != expected:
        raise ValueError(f"{what} starts at {start}, expected {expected}")
