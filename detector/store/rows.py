"""What the store is told, and what it tells: plain records, and how events and effort become rows."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias
from uuid import NAMESPACE_URL, uuid5

from detector.timeline import NANOSECONDS, Clock, FrameGrid, event_id
from detector.types import EffortSpan, Event, StartTime

Row: TypeAlias = dict[str, Any]
"""Columns of one row by name."""

UNKNOWN_DAY = "unknown"
_DAY_NS = 86_400 * NANOSECONDS


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """One class that a run listens for.

    Attributes
    ----------
    head, label : str
    threshold : float
        The card's default, as confidence.
    low_hz, high_hz : float or None
        Band in the recording's own frequencies, for the boxes in exported tables.
    """

    head: str
    label: str
    threshold: float
    low_hz: float | None = None
    high_hz: float | None = None


@dataclass(frozen=True, slots=True)
class RunInfo:
    """One way of listening: a bundle with its scoring settings.

    Attributes
    ----------
    run_id : str
        From `detector.timeline.run_id`.
    bundle, bundle_hash : str
    settings_json : str
        The scoring settings as canonical JSON, as they entered the id.
    algorithm_version : int
    analysis_rate_hz, hop_samples : int
        Grid of the frames.
    classes : tuple of ClassInfo
        At least one.
    floor : float
        Lowest confidence that is stored.
    """

    run_id: str
    bundle: str
    bundle_hash: str
    settings_json: str
    algorithm_version: int
    analysis_rate_hz: int
    hop_samples: int
    classes: tuple[ClassInfo, ...]
    floor: float

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the heads, each once, in the order of the classes."""
        return tuple(dict.fromkeys(info.head for info in self.classes))


@dataclass(frozen=True, slots=True)
class SegmentPart:
    """Where a recording lies in a segment.

    Attributes
    ----------
    recording_id : str
        From `Store.add_recording`.
    offset_samples : int
        Segment sample of the recording's first sample; negative when the segment begins inside the recording.
    """

    recording_id: str
    offset_samples: int


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """An unbroken span of audio.

    Attributes
    ----------
    segment_id : str
        From `detector.timeline.archive_segment_id`.
    source_id : int
        From `Store.ensure_source`.
    audio_hash : str
        Of the whole chain of recordings.
    channel : str
        "1", "2", ... or "mix".
    first_sample : int
        Where the segment begins in the chain.
    sample_rate_hz : int
    parts : tuple of SegmentPart
        In the order of their offsets.
    clock : Clock
    """

    segment_id: str
    source_id: int
    audio_hash: str
    channel: str
    first_sample: int
    sample_rate_hz: int
    parts: tuple[SegmentPart, ...]
    clock: Clock


@dataclass(frozen=True, slots=True)
class KnownRecording:
    """What the store knows of a path, for deciding whether the file must be looked at again.

    Attributes
    ----------
    recording_id : str
    size_bytes, mtime_ns : int
    audio_hash : str or None
        None for a bad recording.
    chain_hash : str or None
        Audio hash of the chain in which this recording was finished in the run that was asked for; None when it was not.
    start : StartTime
    """

    recording_id: str
    size_bytes: int
    mtime_ns: int
    audio_hash: str | None
    chain_hash: str | None
    start: StartTime


def path_text(path: str | Path) -> str:
    """A path as it is stored: bytes that are not UTF-8 become ``\\xNN``, so that every name can be written."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def recording_id(path: str | Path, audio_hash: str) -> str:
    """Identity of a recording: its path and its decoded audio."""
    return str(uuid5(NAMESPACE_URL, f"recording\n{path_text(path)}\n{audio_hash}"))


def utc_day(utc_ns: int) -> str:
    """Date in UTC, such as 2026-04-01."""
    return (date(1970, 1, 1) + timedelta(days=utc_ns // _DAY_NS)).isoformat()


def event_row(event: Event, run: RunInfo, segment: SegmentInfo, info: ClassInfo) -> Row:
    """Columns of table event, less the keys of analysis and recording and the day; ``part`` is the index of the recording's part."""
    grid = FrameGrid(segment.sample_rate_hz, run.analysis_rate_hz, run.hop_samples)
    start_frame, end_frame = int(event.start_frame), int(event.end_frame)
    start = grid.sample(start_frame)
    part = part_at(segment.parts, start)
    return {
        "event_uuid": event_id(run.run_id, segment.segment_id, event.head, event.label, start_frame),
        "part": part,
        "label": event.label,
        "start_frame": start_frame,
        "end_frame": end_frame,
        "start_sample": start,
        "start_s": (start - segment.parts[part].offset_samples) / segment.sample_rate_hz,
        "start_ns": segment.clock.utc_ns(start),
        **event_end(segment, part, grid.sample(end_frame)),
        "low_hz": info.low_hz,
        "high_hz": info.high_hz,
        "confidence": float(event.confidence),
        "logit_mean": float(event.logit_mean),
        "logit_max": float(event.logit_max),
        "logit_top": float(event.logit_top),
        "n_frames": end_frame - start_frame,
        "is_linked": int(event.linked),
        "embedding": event.embedding.astype("<f2").tobytes(),
    }


def event_end(segment: SegmentInfo, part: int, end_sample: int) -> Row:
    """The columns of an event that depend on where it ends."""
    offset = segment.parts[part].offset_samples
    return {
        "end_sample": end_sample,
        "end_s": (end_sample - offset) / segment.sample_rate_hz,
        "end_ns": segment.clock.utc_ns(end_sample),
    }


def event_day(start_ns: int | None, start_local: str | None, start_s: float) -> str:
    """Day of an event: in UTC where that is known, else by the recorder's clock, else "unknown"."""
    if start_ns is not None:
        return utc_day(start_ns)
    if start_local is not None:
        return (datetime.fromisoformat(start_local) + timedelta(seconds=start_s)).date().isoformat()
    return UNKNOWN_DAY


def part_at(parts: Sequence[SegmentPart], sample: int) -> int:
    """Index of the part that holds a sample of the segment; audio after a border belongs to the next recording."""
    at = 0
    for index, part in enumerate(parts):
        if part.offset_samples <= sample:
            at = index
    return at


def effort_row(span: EffortSpan, segment: SegmentInfo) -> Row:
    """Columns of table effort, less its keys."""
    levels = span.band_levels_db
    return {
        "state": span.state.value,
        "start_sample": int(span.start_sample),
        "n_samples": None if span.n_samples is None else int(span.n_samples),
        "duration_s": None if span.n_samples is None else span.n_samples / segment.sample_rate_hz,
        "start_ns": segment.clock.utc_ns(int(span.start_sample)),
        "reason": span.reason,
        "count": int(span.count),
        "band_levels_db": None if levels is None else json.dumps([round(float(level), 2) for level in levels]),
    }
