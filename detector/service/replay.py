"""Replay: work through recordings and write down what was heard. Stop it at any moment; it goes on where it was."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.config import Settings
from detector.model.bundle import Bundle, find_bundle, load_bundle
from detector.service.listener import ChainHash, Heard, Job, ListenerSpec, build_trackers
from detector.service.notes import notes
from detector.service.plan import ReplayPlan, plan_replay
from detector.service.pool import Done, Failed, InlinePool, Message, ProcessPool
from detector.service.results import ResultWriter
from detector.store import summary
from detector.store.reader import open_reader
from detector.store.rows import ClassInfo, RunInfo, path_text
from detector.store.store import Store
from detector.timeline import ALGORITHM_VERSION, run_id


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay has come.

    Attributes
    ----------
    files_done, files_total : int
    audio_s_done, audio_s_total : float
        Audio of the work at hand; what was done before does not count.
    elapsed_s : float
    """

    files_done: int
    files_total: int
    audio_s_done: float
    audio_s_total: float
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class ReplaySummary:
    """What a replay did.

    Attributes
    ----------
    run_id : str
    recordings_new, recordings_unchanged : int
    recordings_bad : tuple of (str, str)
        Path and reason, for files that could not be used at all and for those of which a part was lost.
    audio_s, elapsed_s : float
    events : int
        Candidates stored by this replay.
    detections : dict of str to int
        By class, at the thresholds in force, over everything this run has heard so far.
    notes : tuple of str
        What the reader should know, a sentence each.
    """

    run_id: str
    recordings_new: int
    recordings_unchanged: int
    recordings_bad: tuple[tuple[str, str], ...]
    audio_s: float
    elapsed_s: float
    events: int
    detections: dict[str, int]
    notes: tuple[str, ...]


def replay(
    paths: Sequence[str | Path],
    settings: Settings,
    config_dir: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> ReplaySummary:
    """Analyse recordings and store what was heard.

    Finished recordings are committed in the order of their paths, whatever the number of workers, so that the
    database does not depend on it. Ids depend on audio, bundle and settings alone: doing it again changes nothing.

    Parameters
    ----------
    paths : sequence of str or Path
        Files, folders (with all folders inside) and glob patterns.
    settings : Settings
        See `detector.config.load_settings`.
    config_dir : Path, optional
        Where config.yaml lies; bundles are looked for in ``models/`` beside it.
    on_progress : callable, optional
        Called with `Progress` a few times a second.

    Raises
    ------
    AudioError
        If a path matches nothing. A bad file raises nothing; it is in the summary and in the table effort.
    ConfigError, BundleError, EngineError, StoreError
        If the settings do not fit the bundle, or the bundle, the engine or the database cannot be had.
    """
    began = time.monotonic()
    bundle = load_bundle(find_bundle(settings.bundle, config_dir))
    build_trackers(bundle, settings.events)  # settings that do not fit the bundle are no recording's fault
    with Store(Path(settings.store.path)) as store:
        deployment = store.ensure_deployment(store.ensure_station(settings.station), settings.deployment)
        run = store.ensure_run(describe_run(bundle, settings))
        plan = plan_replay(paths, settings, store.known_recordings(run))
        writer = ResultWriter(store, deployment, run)
        for bad in plan.bad:
            store.add_bad_recording(deployment, bad)
        for recording_id, start in plan.restamped:
            store.restamp_recording(recording_id, start)
        switched = store.activate_finished(run, [known.recording_id for known in plan.unchanged])
        spec = ListenerSpec(bundle.path, settings.engine.name, settings.engine.device, settings.events)
        _work_through(plan, spec, _n_workers(settings, plan), writer, on_progress, began)
        store.flush()
        return _summarise(bundle, plan, writer, switched, Path(settings.store.path), began)


def _summarise(bundle: Bundle, plan: ReplayPlan, writer: ResultWriter, switched: int, db_path: Path, began: float) -> ReplaySummary:
    unusable = {(path_text(bad.path), bad.reason) for bad in plan.bad}
    unchanged = [known.recording_id for known in plan.unchanged]
    with open_reader(db_path) as db:
        known_bad = summary.problems(db, writer.run, unchanged)
        elsewhere = summary.other_deployments(db, writer.deployment, unchanged)
        return ReplaySummary(
            run_id=writer.run,
            recordings_new=sum(len(jobs[0].chain) for jobs in plan.jobs),
            recordings_unchanged=len(plan.unchanged),
            recordings_bad=tuple(sorted({*unusable, *known_bad, *writer.bad})),
            audio_s=writer.audio_s,
            elapsed_s=time.monotonic() - began,
            events=writer.n_events,
            detections=summary.detections_by_class(db, writer.run),
            notes=tuple(notes(bundle.card, plan, summary.other_runs(db, writer.run), switched, elsewhere)),
        )


def describe_run(bundle: Bundle, settings: Settings) -> RunInfo:
    """The run that this bundle and these settings make; its id changes with anything that can change an event."""
    scoring = {"events": settings.events.model_dump(), "channel": settings.recordings.channel}
    scoring_json = json.dumps(scoring, sort_keys=True, separators=(",", ":"))
    card = bundle.card
    classes = [ClassInfo(head, entry.label, entry.events.threshold, card.low_hz, card.high_hz) for head, entry in card.columns]
    return RunInfo(
        run_id=run_id(bundle.hash, scoring_json),
        bundle=card.name,
        bundle_hash=bundle.hash,
        settings_json=scoring_json,
        algorithm_version=ALGORITHM_VERSION,
        analysis_rate_hz=card.sample_rate_hz,
        hop_samples=card.frame_hop_samples,
        classes=tuple(classes),
        floor=settings.events.floor,
    )


def _n_workers(settings: Settings, plan: ReplayPlan) -> int:
    n_jobs = sum(len(jobs) for jobs in plan.jobs)
    wanted = settings.replay.workers
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(n_jobs, n_cores if wanted == "auto" and n_cores is not None else 1 if wanted == "auto" else wanted))


def _work_through(
    plan: ReplayPlan,
    spec: ListenerSpec,
    n_workers: int,
    writer: ResultWriter,
    on_progress: Callable[[Progress], None] | None,
    began: float,
) -> None:
    """Run the jobs and give their results to the writer in the order of the plan."""
    jobs = [job for chain in plan.jobs for job in chain]
    last_of_chain = [at == len(chain) - 1 for chain in plan.jobs for at in range(len(chain))]
    if not jobs:
        return
    meter = _ProgressMeter(jobs, on_progress, began)
    claims = _Claims(writer)
    results: defaultdict[int, list[Message]] = defaultdict(list)
    committed = 0
    pool = InlinePool(spec) if n_workers == 1 else ProcessPool(spec, n_workers)
    try:
        for index, message in pool.run(jobs, lambda index, audio_hash: claims.decide(index, jobs[index], audio_hash)):
            if isinstance(message, Heard):
                meter.heard(jobs[index], message.n_samples)
                continue
            if isinstance(message, ChainHash):
                results[index] = []  # of a process that died; its chain begins again
            results[index].append(message)
            while committed < len(jobs) and results[committed] and isinstance(results[committed][-1], (Done, Failed)):
                writer.write(jobs[committed], results.pop(committed), last_of_chain[committed])
                meter.finished(jobs[committed])
                committed += 1
    finally:
        pool.close()


class _Claims:
    """Which job analyses which audio: the first one in the order of the plan, the others are duplicates."""

    def __init__(self, writer: ResultWriter) -> None:
        self._writer = writer
        self._first: dict[tuple[str, str], int] = {}

    def decide(self, index: int, job: Job, audio_hash: str) -> bool:
        key = (audio_hash, str(job.channel))
        if self._writer.is_complete(job, audio_hash) or self._first.get(key, index) < index:
            return False
        self._first[key] = index
        return True


class _ProgressMeter:
    """Counts what is done and tells it, not more often than a person can see."""

    INTERVAL_S = 0.1

    def __init__(self, jobs: Sequence[Job], tell: Callable[[Progress], None] | None, began: float) -> None:
        self._tell = tell
        self._began = began
        self._files_total = sum(len(job.chain) for job in jobs)
        self._audio_s_total = sum(job.audio_s for job in jobs)
        self._files_done = 0
        self._audio_s_done = 0.0
        self._told = 0.0

    def heard(self, job: Job, n_samples: int) -> None:
        self._audio_s_done += n_samples / job.chain[0].sample_rate_hz
        self._say(last=False)

    def finished(self, job: Job) -> None:
        self._files_done += len(job.chain)
        self._say(last=self._files_done == self._files_total)

    def _say(self, last: bool) -> None:
        now = time.monotonic()
        if self._tell is not None and (last or now - self._told >= self.INTERVAL_S):
            self._told = now
            self._tell(Progress(self._files_done, self._files_total, self._audio_s_done, self._audio_s_total, now - self._began))
