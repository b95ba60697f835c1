"""Time and identity: integer grids, clocks made of knots, and ids that never depend on UTC."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from uuid import UUID, uuid5

NANOSECONDS = 1_000_000_000
_NAMESPACE = UUID("6b2f8d5e-3c0f-5f43-9a37-0d9a5b1f7c11")

ALGORITHM_VERSION = 1
"""Raised whenever the same audio and bundle would give other events than before."""


@dataclass(frozen=True, slots=True)
class FrameGrid:
    """Frames of the scores on the samples of a source.

    Frame i covers analysis samples ``[i * hop, (i + 1) * hop)``, counted from the segment's start.

    Attributes
    ----------
    source_rate_hz : int
        Rate of the recording.
    analysis_rate_hz : int
        Rate at which the bundle listens.
    hop_samples : int
        Samples of the analysis rate in one frame.
    """

    source_rate_hz: int
    analysis_rate_hz: int
    hop_samples: int

    def sample(self, frame: int) -> int:
        """First source sample of a frame, rounded down; exact integers for any length."""
        return frame * self.hop_samples * self.source_rate_hz // self.analysis_rate_hz

    def seconds(self, frame: int) -> float:
        """Start of a frame in seconds from the segment's start."""
        return frame * self.hop_samples / self.analysis_rate_hz

    def n_frames(self, n_source_samples: int) -> int:
        """Frames that a segment of this length has: the last one may be partly empty."""
        return -(-n_source_samples * self.analysis_rate_hz // (self.source_rate_hz * self.hop_samples))


@dataclass(frozen=True, slots=True)
class ClockKnot:
    """One place where the time of a sample is known.

    Attributes
    ----------
    sample : int
    utc_ns : int or None
    monotonic_ns : int or None
        None for recordings made by somebody else's clock.
    uncertainty_ns : int or None
    provenance : str
    """

    sample: int
    utc_ns: int | None
    monotonic_ns: int | None
    uncertainty_ns: int | None
    provenance: str


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock of one segment: knots in the order of their samples, and the nominal rate between them."""

    sample_rate_hz: int
    knots: tuple[ClockKnot, ...]

    def utc_ns(self, sample: int) -> int | None:
        """UTC of a sample in nanoseconds since 1970, or None when the start is unknown.

        Between two knots the time is interpolated; outside them the nominal rate is used.
        """
        known = [(knot.sample, knot.utc_ns) for knot in self.knots if knot.utc_ns is not None]
        if not known:
            return None
        at = bisect_right(known, sample, key=lambda knot: knot[0]) - 1
        left_sample, left_ns = known[max(at, 0)]
        if 0 <= at < len(known) - 1:
            right_sample, right_ns = known[at + 1]
            return left_ns + (sample - left_sample) * (right_ns - left_ns) // (right_sample - left_sample)
        return left_ns + (sample - left_sample) * NANOSECONDS // self.sample_rate_hz


def run_id(bundle_hash: str, settings: str, algorithm_version: int = ALGORITHM_VERSION) -> str:
    """Identity of a run: the bundle, the scoring settings as canonical JSON, and the algorithm."""
    return str(uuid5(_NAMESPACE, f"run\n{bundle_hash}\n{settings}\n{algorithm_version}"))


def archive_segment_id(audio_hash: str, channel: str, first_sample: int) -> str:
    """Identity of a segment of recordings: its decoded audio, the channel, and where it begins."""
    return str(uuid5(_NAMESPACE, f"archive\n{audio_hash}\n{channel}\n{first_sample}"))


def event_id(run: str, segment: str, head: str, label: str, start_frame: int) -> str:
    """Identity of an event: run, segment, head, class and first frame."""
    return str(uuid5(_NAMESPACE, f"event\n{run}\n{segment}\n{head}\n{label}\n{start_frame}"))
