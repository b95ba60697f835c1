"""How fast the store is: writing a million candidates, and counting them."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from detector.config import DeploymentSettings, StationSettings
from detector.store.counts import count_days
from detector.store.reader import open_reader
from detector.store.rows import ClassInfo, RunInfo, SegmentInfo, SegmentPart
from detector.store.store import Store
from detector.timeline import NANOSECONDS, Clock, ClockKnot, archive_segment_id, run_id
from detector.types import EffortSpan, EffortState, Event, Recording, StartTime

RATE_HZ = 32_000
MINUTE = 60 * RATE_HZ
HOP = 320
DIMS = 96
STATIONS = 5
CLASSES = 10
EVENTS_PER_SEGMENT = 20
START_NS = 1_767_225_600 * NANOSECONDS
THRESHOLDS = (0.05, 0.073, 0.125, 0.3, 0.475, 0.5, 0.62, 0.777, 0.9, 0.985)


def insert_rate(n_events: int, path: Path) -> dict[str, float]:
    """Write a year of made-up minutes through `Store`, as a replay does.

    Minutes are spread over one year, five stations and ten classes; confidences are most frequent near the floor and near 1.

    Parameters
    ----------
    n_events : int
    path : Path
        A database that does not exist yet.

    Returns
    -------
    dict
        ``events``, ``events_per_s`` (everything but the making of the events), ``megabytes``, ``longest_lock_s``.
    """
    random = np.random.default_rng(1)
    n_segments = -(-n_events // EVENTS_PER_SEGMENT)
    spent = 0.0
    with Store(path) as store:
        run = store.ensure_run(_run())
        places = [_place(store, f"station {number}") for number in range(STATIONS)]
        for number in range(n_segments):
            events = _events(random, min(EVENTS_PER_SEGMENT, n_events - number * EVENTS_PER_SEGMENT))
            minute = number * 365 * 1440 // n_segments
            since = time.perf_counter()
            _write(store, run, places[number % STATIONS], number, START_NS + minute * 60 * NANOSECONDS, events)
            spent += time.perf_counter() - since
        since = time.perf_counter()
        store.flush()
        spent += time.perf_counter() - since
        lock_s = store.longest_lock_s
    return {"events": n_events, "events_per_s": n_events / spent, "megabytes": path.stat().st_size / 1e6, "longest_lock_s": lock_s}


def query_times(path: Path) -> dict[str, float]:
    """Milliseconds of the queries that people wait for, with the file in memory; the quickest of three times each.

    ``count_days_any_threshold_ms`` is the worst over several thresholds.
    """
    with open_reader(path) as db:
        worst = max(_milliseconds(partial(count_days, db, threshold)) for threshold in THRESHOLDS)
        return {
            "count_days_any_threshold_ms": worst,
            "count_days_in_force_ms": _milliseconds(lambda: count_days(db)),
            "count_detections_ms": _milliseconds(lambda: db.execute("SELECT count(*) FROM detection").fetchone()),
            "uncertain_20_ms": _milliseconds(lambda: db.execute(UNCERTAIN).fetchall()),
            "effort_by_hour_ms": _milliseconds(lambda: db.execute("SELECT * FROM effort_by_hour").fetchall()),
        }


UNCERTAIN = "SELECT recording, start_s, end_s, label, confidence FROM candidate ORDER BY abs(confidence - threshold) LIMIT 20"


def _milliseconds(work: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        since = time.perf_counter()
        work()
        times.append((time.perf_counter() - since) * 1000)
    return min(times)


def _run() -> RunInfo:
    classes = tuple(ClassInfo("animal", f"class {number:02d}", 0.5, 500.0, 12_000.0) for number in range(CLASSES))
    return RunInfo(run_id("bench", "{}"), "bench", "bench", "{}", 1, RATE_HZ, HOP, classes, 0.05)


def _place(store: Store, name: str) -> tuple[int, int]:
    deployment = store.ensure_deployment(store.ensure_station(StationSettings(name=name)), DeploymentSettings())
    return deployment, store.ensure_source(deployment, "recordings", "1")


def _events(random: np.random.Generator, n: int) -> list[Event]:
    confidences = 0.05 + 0.949 * random.beta(0.5, 0.7, n)
    classes = random.integers(CLASSES, size=n)
    embedding = random.standard_normal(DIMS).astype(np.float16)
    logits = np.log(confidences / (1 - confidences))
    return [
        Event("animal", f"class {label:02d}", 200 * i, 200 * i + 60, logit, logit + 1.0, logit + 0.5, embedding)
        for i, (label, logit) in enumerate(zip(classes, logits.tolist(), strict=True))
    ]


def _write(store: Store, run: str, place: tuple[int, int], number: int, start_ns: int, events: list[Event]) -> None:
    start = StartTime(start_ns, provenance="made up", uncertainty_ns=0)
    header = Recording(Path(f"/bench/{number:07d}.wav"), 2 * MINUTE, 0, "WAV", "PCM_16", RATE_HZ, 1, MINUTE, MINUTE, start)
    audio_hash = f"bench {number}"
    recording = store.add_recording(place[0], header, audio_hash)
    clock = Clock(RATE_HZ, (ClockKnot(0, start_ns, None, 0, "made up"),))
    segment_id = archive_segment_id(audio_hash, "1", 0)
    store.begin_segment(run, SegmentInfo(segment_id, place[1], audio_hash, "1", 0, RATE_HZ, (SegmentPart(recording, 0),), clock))
    store.add_results(run, segment_id, events, [EffortSpan(EffortState.ANALYSED, 0, MINUTE)])
    store.complete_segment(run, segment_id, MINUTE)
    store.finish_recordings(run, [recording], audio_hash)
