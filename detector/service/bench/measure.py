"""How fast this machine replays, where the time goes, and beside what: every measurement in fresh processes."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from detector.audio.writer import write_recording
from detector.service.bench.figures import Figure
from detector.service.bench.processes import Outcome, run_python
from detector.types import FloatArray

RATE_HZ = 48_000
COMMAND = ("-m", "detector.cli.main")
PARTS = ("-m", "detector.service.bench.parts")
PEERS = ("-m", "detector.train.peers")
FIRST = datetime(2026, 5, 1)
WINDOW_S = 10.0
MORE_FILES = 3
"""All cores get so many times the recordings, so that the start of the processes weighs as little as it does in an archive."""
LAYERS = {"hubert_base": 12, "two_layers": 2}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure.

    Attributes
    ----------
    folder : Path
        Empty; gets the recordings and databases.
    scene : float32 (n,)
        A minute or so of 48 kHz audio from which the recordings are made.
    bundle : str
        Name or path.
    file_minutes : float
    files : int
    repeats : int
        Each figure is the median of so many runs.
    """

    folder: Path
    scene: FloatArray
    bundle: str
    file_minutes: float
    files: int
    repeats: int


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def write_recordings(plan: Plan, suffix: str, files: int, minutes: float) -> Path:
    """A folder with recordings that all differ: the scene over and over, begun elsewhere in each file."""
    folder = Path(tempfile.mkdtemp(dir=plan.folder))
    total = round(minutes * 60 * RATE_HZ)
    for index in range(files):
        turned = np.roll(plan.scene, -(index + 1) * len(plan.scene) // (files + 1))
        begin = FIRST + timedelta(minutes=index * minutes)
        blocks = [turned[: total - done] for done in range(0, total, len(turned))]
        write_recording(folder / f"site_{begin:%Y%m%d_%H%M%S}.{suffix}", blocks, RATE_HZ)
    return folder


def start_up(plan: Plan) -> Iterator[Figure]:
    """The help page, and the first file."""
    runs = [run_python((*COMMAND, "--help")).wall_s for _ in range(2 * plan.repeats + 1)]
    yield Figure("start.help", statistics.median(runs))
    folder = write_recordings(plan, "wav", 1, 1 / 6)
    runs = [_replay(plan, folder, 1, pinned=False)[1].wall_s for _ in range(plan.repeats)]
    yield Figure("start.first_file", statistics.median(runs))


def replays(plan: Plan) -> Iterator[Figure]:
    """End to end, one thread and all cores; then how replay gains from cores beside plain matrix products."""
    one = everywhere = 0.0
    for suffix in ("wav", "flac"):
        folder = write_recordings(plan, suffix, plan.files, plan.file_minutes)
        alone = [_replay(plan, folder, 1, pinned=True) for _ in range(plan.repeats)]
        speed = statistics.median(summary["audio_s"] / summary["elapsed_s"] for summary, _ in alone)
        yield Figure(f"replay.{suffix}_one_thread", speed)
        larger = write_recordings(plan, suffix, MORE_FILES * plan.files, plan.file_minutes)
        together = [_replay(plan, larger, n_cores(), pinned=False)[0] for _ in range(plan.repeats)]
        all_cores = statistics.median(summary["audio_s"] / summary["elapsed_s"] for summary in together)
        yield Figure(f"replay.{suffix}_all_cores", all_cores)
        if suffix == "wav":
            whole = statistics.median(summary["audio_s"] / outcome.wall_s for summary, outcome in alone)
            yield Figure("replay.wav_one_thread_whole", whole)
            one, everywhere = speed, all_cores
    yield Figure("scaling.cores", n_cores())
    gain = matmul_gain(plan.repeats)
    yield Figure("scaling.matmul_gain", gain)
    yield Figure("scaling.replay_gain", everywhere / one)
    yield Figure("scaling.share", 100.0 * everywhere / one / gain)


def _replay(plan: Plan, folder: Path, workers: int, pinned: bool) -> tuple[dict[str, Any], Outcome]:
    """One replay of a folder into a new database, through the command as a user runs it."""
    database = folder / f"{time.monotonic_ns()}.db"
    arguments = ("replay", str(folder), "--db", str(database), "--bundle", plan.bundle, "--workers", str(workers), "--json")
    outcome = run_python((*COMMAND, *arguments), threads=1, one_core=pinned)
    return json.loads(outcome.output), outcome


def matmul_gain(repeats: int) -> float:
    """Matrix products per second of one process on each core at once, over one process alone."""
    alone = statistics.median(sum(matmul_gflops(1)) for _ in range(repeats))
    together = statistics.median(sum(matmul_gflops(n_cores())) for _ in range(repeats))
    return together / alone


def matmul_gflops(processes: int, seconds: float = 3.0) -> list[float]:
    """Rate of each of several processes that multiply matrices over the same few seconds."""
    begin = time.time() + 1.0
    arguments = [sys.executable, *PARTS, "matmul", str(begin), str(seconds)]
    environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")}
    running = [subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment, text=True) for _ in range(processes)]
    return [float(json.loads(process.communicate()[0])["mean_gflops"]) for process in running]


def stages(plan: Plan) -> Iterator[Figure]:
    """Each stage by itself on one thread, and what share of the matrix peak the encoder reaches."""
    wav = write_recordings(plan, "wav", 1, min(plan.file_minutes, 5.0))
    flac = write_recordings(plan, "flac", 1, min(plan.file_minutes, 5.0))
    arguments = ("stages", str(next(wav.iterdir())), str(next(flac.iterdir())), plan.bundle, str(plan.folder), str(plan.repeats))
    measured = json.loads(run_python((*PARTS, *arguments), threads=1, one_core=True).output)
    for name, speed in measured["speed"].items():
        yield Figure(f"stage.{name}", speed)
    peak = json.loads(run_python((*PARTS, "matmul", "0", "3"), threads=1, one_core=True).output)["best_gflops"]
    work = measured["gmac_per_s"]
    yield Figure("encoder.matmul_peak", peak)
    yield Figure("encoder.work", work)
    yield Figure("encoder.share_of_peak", 100.0 * 2.0 * work * measured["speed"]["encoder"] / peak)


def peers(plan: Plan, own_speed: float | None) -> Iterator[Figure]:
    """Foreign encoders on one thread; ``own_speed`` is replay.wav_one_thread where it was measured."""
    for name, layers in LAYERS.items():
        outcome = run_python((*PEERS, str(layers), str(WINDOW_S), str(2 * plan.repeats + 1)), threads=1, one_core=True)
        seconds = json.loads(outcome.output)["seconds"]
        yield Figure(f"peers.{name}_each_second", 1.0 / seconds)
        yield Figure(f"peers.{name}_no_overlap", WINDOW_S / seconds)
        if name == "hubert_base" and own_speed is not None:
            yield Figure("peers.gain_over_hubert_base", own_speed * seconds)


def memory(plan: Plan, long: bool) -> Iterator[Figure]:
    """Peak memory of a short replay and, on demand, of a long one."""
    for name, minutes in (("ten_minutes", 10.0), ("ten_hours", 600.0)):
        if name == "ten_minutes" or long:
            folder = write_recordings(plan, "wav", 1, minutes)
            peak = _replay(plan, folder, 1, pinned=False)[1].peak_rss_mb
            if peak is not None:
                yield Figure(f"memory.{name}", peak)


def store(plan: Plan, n_events: int) -> Iterator[Figure]:
    """A database with many events: writing it, and the questions that people wait for."""
    measured = json.loads(run_python((*PARTS, "store", str(plan.folder), str(n_events)), threads=1).output)
    names = {
        "insert": "events_per_s",
        "longest_lock": "longest_lock_s",
        "size": "megabytes",
        "count_any_threshold": "count_days_any_threshold_ms",
        "count_in_force": "count_days_in_force_ms",
        "uncertain": "uncertain_20_ms",
        "effort_by_hour": "effort_by_hour_ms",
    }
    for name, key in names.items():
        yield Figure(f"store.{name}", measured[key])
