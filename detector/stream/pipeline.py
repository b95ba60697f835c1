"""The one path from audio to events and effort, live and in replay."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter_ns
from typing import Protocol, TypeAlias

from detector.stream.effort import EffortMeter
from detector.stream.events import EventTracker
from detector.types import AudioBlock, BandPower, EffortSpan, Event, FrameScores, Gap, SegmentEnd

Outcome: TypeAlias = Event | EffortSpan | SegmentEnd


class Resampler(Protocol):
    """Audio of the source to audio at the bundle's rate. A gap flushes, passes with its position converted, and resets."""

    def push(self, item: AudioBlock | Gap) -> list[AudioBlock | Gap]: ...
    def flush(self) -> list[AudioBlock | Gap]: ...
    def reset(self) -> None: ...


class Scorer(Protocol):
    """Audio at the bundle's rate to scores and band power. A gap flushes, passes, and resets."""

    def push(self, item: AudioBlock | Gap) -> list[FrameScores | BandPower | Gap]: ...
    def flush(self) -> list[FrameScores | BandPower | Gap]: ...
    def reset(self) -> None: ...


class Pipeline:
    """Audio blocks and gaps of one source in; events, effort and segment ends out.

    What comes out before a `SegmentEnd` belongs to that segment. After a gap the audio counts from 0 again. The effort rows of a
    segment that are analysed or lost tile it exactly; a degraded row lies over analysed ones.

    Parameters
    ----------
    resampler : Resampler
    scorer : Scorer
    trackers : sequence of EventTracker
        One per head.
    meter : EffortMeter

    Attributes
    ----------
    stage_seconds : dict of str to float
        Time spent so far in "resample", "score", "events" and "effort".
    """

    def __init__(self, resampler: Resampler, scorer: Scorer, trackers: Sequence[EventTracker], meter: EffortMeter) -> None:
        self.resampler = resampler
        self.scorer = scorer
        self.trackers = tuple(trackers)
        self.meter = meter
        self._spent_ns = {"resample": 0, "score": 0, "events": 0, "effort": 0}

    @property
    def stage_seconds(self) -> dict[str, float]:
        return {stage: spent / 1e9 for stage, spent in self._spent_ns.items()}

    def push(self, item: AudioBlock | Gap) -> list[Outcome]:
        """Take what follows. A gap ends the segment: it gives all that is left of it, the loss, and `SegmentEnd`."""
        if isinstance(item, Gap):
            return self._end(item)
        out: list[Outcome] = []
        began = perf_counter_ns()
        out += self.meter.push(item)
        self._spent_ns["effort"] += perf_counter_ns() - began
        began = perf_counter_ns()
        audio = self.resampler.push(item)
        self._spent_ns["resample"] += perf_counter_ns() - began
        self._score(audio, out)
        return out

    def flush(self) -> list[Outcome]:
        """End of the source: what is left, and `SegmentEnd` if the segment had any audio."""
        return self._end(None) if self.meter.n_samples else []

    def reset(self) -> None:
        """Forget the segment; what it still held is lost."""
        self.resampler.reset()
        self.scorer.reset()
        for tracker in self.trackers:
            tracker.reset()
        self.meter.reset()

    def _end(self, gap: Gap | None) -> list[Outcome]:
        out: list[Outcome] = []
        n_samples = self.meter.n_samples
        began = perf_counter_ns()
        audio = self.resampler.flush()
        self._spent_ns["resample"] += perf_counter_ns() - began
        self._score(audio, out)
        began = perf_counter_ns()
        scored = self.scorer.flush()
        self._spent_ns["score"] += perf_counter_ns() - began
        self._track(scored, out)
        began = perf_counter_ns()
        for tracker in self.trackers:
            out += tracker.flush()
            out += [self.meter.capped(hour) for hour in tracker.take_capped()]
        self._spent_ns["events"] += perf_counter_ns() - began
        began = perf_counter_ns()
        out += self.meter.flush() if gap is None else self.meter.push(gap)
        self._spent_ns["effort"] += perf_counter_ns() - began
        self.reset()
        out.append(SegmentEnd(n_samples))
        return out

    def _score(self, audio: Sequence[AudioBlock | Gap], out: list[Outcome]) -> None:
        for block in audio:
            began = perf_counter_ns()
            scored = self.scorer.push(block)
            self._spent_ns["score"] += perf_counter_ns() - began
            self._track(scored, out)

    def _track(self, scored: Sequence[FrameScores | BandPower | Gap], out: list[Outcome]) -> None:
        for item in scored:
            began = perf_counter_ns()
            if isinstance(item, FrameScores):
                for tracker in self.trackers:
                    out += tracker.push(item)
                    out += [self.meter.capped(hour) for hour in tracker.take_capped()]
                self._spent_ns["events"] += perf_counter_ns() - began
            elif isinstance(item, BandPower):
                out += self.meter.push(item)
                self._spent_ns["effort"] += perf_counter_ns() - began
