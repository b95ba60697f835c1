"""Made-up recordings and results for the tests of the store; every value is plain and known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detector.config import DeploymentSettings, StationSettings
from detector.store.rows import ClassInfo, RunInfo, SegmentInfo, SegmentPart
from detector.store.store import Store
from detector.timeline import NANOSECONDS, Clock, ClockKnot, archive_segment_id, run_id
from detector.types import EffortSpan, EffortState, Event, Recording, StartTime

RATE_HZ = 48_000
HOP = 320
ANALYSIS_HZ = 32_000
START_NS = 1_775_019_600 * NANOSECONDS  # 2026-04-01T05:00:00Z
CLASSES = (ClassInfo("animal", "animal", 0.5, 500.0, 12_000.0), ClassInfo("animal", "Kuikka\t\"ä\"", 0.6))


def make_run(bundle_hash: str = "a" * 64, classes: tuple[ClassInfo, ...] = CLASSES, settings: str = "{}") -> RunInfo:
    return RunInfo(run_id(bundle_hash, settings), "default", bundle_hash, settings, 1, ANALYSIS_HZ, HOP, classes, 0.05)


def make_recording(path: Path, n_samples: int = 60 * RATE_HZ, start: StartTime | None = None, mtime_ns: int = 1) -> Recording:
    if start is None:
        start = StartTime(START_NS, "2026-04-01T08:00:00", 10_800, "guano", NANOSECONDS, "header")
    size = 2 * n_samples + 44
    return Recording(path, size, mtime_ns, "WAV", "PCM_16", RATE_HZ, 1, n_samples, n_samples, start, "AudioMoth", "24F3190361")


def make_event(start_frame: int, confidence: float, n_frames: int = 20, label: str = "animal", linked: bool = False) -> Event:
    logit = math.log(confidence / (1 - confidence))
    embedding = np.arange(8, dtype=np.float16)
    return Event("animal", label, start_frame, start_frame + n_frames, logit, logit + 1, logit + 0.5, embedding, linked)


def make_segment(
    audio_hash: str,
    recordings: Sequence[tuple[str, int]],
    source: int,
    start_ns: int | None = START_NS,
    first_sample: int = 0,
    channel: str = "1",
) -> SegmentInfo:
    clock = Clock(RATE_HZ, (ClockKnot(0, start_ns, None, NANOSECONDS, "guano"),))
    parts = tuple(SegmentPart(*recording) for recording in recordings)
    segment_id = archive_segment_id(audio_hash, channel, first_sample)
    return SegmentInfo(segment_id, source, audio_hash, channel, first_sample, RATE_HZ, parts, clock)


def analysed(n_samples: int = 60 * RATE_HZ, start: int = 0) -> EffortSpan:
    return EffortSpan(EffortState.ANALYSED, start, n_samples, band_levels_db=np.array([-40.125, -55.5], np.float32))


def ready(store: Store, run: RunInfo | None = None, station: str = "pond") -> tuple[int, int, str]:
    """Deployment, source and run."""
    deployment = store.ensure_deployment(store.ensure_station(StationSettings(name=station)), DeploymentSettings())
    return deployment, store.ensure_source(deployment, "recordings", "1"), store.ensure_run(make_run() if run is None else run)


def listen(
    store: Store,
    path: Path,
    events: Sequence[Event],
    audio_hash: str,
    run: RunInfo | None = None,
    recording: Recording | None = None,
    station: str = "pond",
) -> str:
    """Do with one recording what a replay does; give its segment's id."""
    deployment, source, run_id = ready(store, run, station)
    header = make_recording(path) if recording is None else recording
    key = store.add_recording(deployment, header, audio_hash)
    segment = make_segment(audio_hash, [(key, 0)], source, header.start.utc_ns)
    if not store.is_complete(run_id, segment.segment_id):
        store.begin_segment(run_id, segment)
        store.add_results(run_id, segment.segment_id, events, [analysed(header.n_samples)])
        store.complete_segment(run_id, segment.segment_id, header.n_samples)
    store.finish_recordings(run_id, [key], audio_hash)
    return segment.segment_id
