"""Measurements of `detector bench` that run in their own process: `python -m detector.service.bench.parts NAME ...` prints JSON."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from detector.audio.archive import ArchiveSource, audio_hash, inspect_recording
from detector.audio.resample import StreamResampler
from detector.config import DeploymentSettings, EventsSettings, Settings, StationSettings
from detector.errors import AudioError
from detector.model.architecture import macs_per_second
from detector.model.bundle import Bundle, find_bundle, load_arrays, load_bundle
from detector.model.card import head_file
from detector.model.engine import make_engine
from detector.model.frontend import LogMel
from detector.model.heads import Head
from detector.model.scorer import StreamingScorer
from detector.service.listener import BLOCK_VALUES, Job, Listener, ListenerSpec, build_pipeline
from detector.service.pool import messages
from detector.service.replay import describe_run
from detector.service.results import ResultWriter
from detector.store.bench import insert_rate, query_times
from detector.store.store import Store
from detector.types import AudioBlock, BandPower, FloatArray, FrameScores, Gap, Recording

SIZE = 1024


def matmul(begin: float, seconds: float) -> dict[str, float]:
    """Rate of float32 matrix products from a moment on, for some seconds.

    Parameters
    ----------
    begin : float
        Seconds since 1970; several processes are given the same moment.
    seconds : float

    Returns
    -------
    dict
        "best_gflops" of a single product, "mean_gflops" of the whole time.
    """
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((SIZE, SIZE), dtype=np.float32) for _ in range(2))
    out = left @ right
    time.sleep(max(0.0, begin - time.time()))
    operations = 2.0 * SIZE**3
    times = []
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        at = time.perf_counter()
        np.matmul(left, right, out=out)
        times.append(time.perf_counter() - at)
    return {"best_gflops": operations / min(times) / 1e9, "mean_gflops": operations * len(times) / sum(times) / 1e9}


def stages(wav: Path, flac: Path, bundle_name: str, folder: Path, repeats: int) -> dict[str, object]:
    """Speed of every stage by itself, in times real time, each the median of some runs."""
    bundle = load_bundle(find_bundle(bundle_name, None))
    recording = _recording(wav)
    length_s = recording.n_samples / recording.sample_rate_hz
    blocks = [item for item in _source(recording) if isinstance(item, AudioBlock)]
    analysed = [item for item in _resample(blocks, recording.sample_rate_hz, bundle) if isinstance(item, AudioBlock)]
    parts: dict[str, Callable[[], object]] = {
        "decode_wav": lambda: list(_source(recording)),
        "decode_flac": lambda: list(_source(_recording(flac))),
        "hash": lambda: audio_hash([recording]),
        "resample": lambda: _resample(blocks, recording.sample_rate_hz, bundle),
        **_ear(bundle, analysed),
        "events": _events(bundle, recording, blocks, analysed),
        "store": _store(bundle, recording, folder),
    }
    speed = {}
    for name, part in parts.items():
        part()
        times = []
        for _ in range(repeats):
            started = time.perf_counter()
            part()
            times.append(time.perf_counter() - started)
        speed[name] = length_s / statistics.median(times)
    card = bundle.card
    return {"speed": speed, "gmac_per_s": macs_per_second(card.frontend, card.encoder, card.sample_rate_hz) / 1e9}


def _recording(path: Path) -> Recording:
    found = inspect_recording(path, None, None)
    if not isinstance(found, Recording):
        raise AudioError(f"{path}: {found.reason}", found.hint)
    return found


def _source(recording: Recording) -> ArchiveSource:
    return ArchiveSource((recording,), 1, BLOCK_VALUES)


def _resample(blocks: Sequence[AudioBlock], rate_hz: int, bundle: Bundle) -> list[AudioBlock | Gap]:
    resampler = StreamResampler(rate_hz, bundle.card.sample_rate_hz)
    out = [item for block in blocks for item in resampler.push(block)]
    return out + resampler.flush()


def _ear(bundle: Bundle, analysed: Sequence[AudioBlock]) -> dict[str, Callable[[], object]]:
    """Front end, encoder and heads, each over all steps of the audio."""
    card = bundle.card
    log_mel = LogMel(card.frontend, card.sample_rate_hz, card.encoder.step_frames)
    engine = make_engine(bundle)
    heads = [Head(load_arrays(bundle, head_file(name))) for name in card.heads]
    samples = np.concatenate([block.samples for block in analysed])
    step = card.encoder.step_frames * card.frontend.hop_samples
    windows = [samples[at : at + log_mel.n_samples] for at in range(0, len(samples) - log_mel.n_samples, step)]
    features = [log_mel(window)[0].copy() for window in windows]
    valid = np.ones(card.encoder.step_frames, np.float32)

    def encode() -> list[FloatArray]:
        state = engine.primed()
        out = []
        for feature in features:
            frames, state = engine.step(feature, valid, state)
            out.append(frames)
        return out

    encoded = encode()
    return {
        "front_end": lambda: [log_mel(window) for window in windows],
        "encoder": encode,
        "heads": lambda: [head(frames) for frames in encoded for head in heads],
    }


def _events(bundle: Bundle, recording: Recording, blocks: Sequence[AudioBlock], analysed: Sequence[AudioBlock]) -> Callable[[], object]:
    """Boxes from scores, and effort from audio and band power."""
    scorer = StreamingScorer(bundle, make_engine(bundle))
    scored = [item for block in analysed for item in scorer.push(block)] + scorer.flush()
    pipeline = build_pipeline(bundle, scorer, EventsSettings(), recording.sample_rate_hz)

    def run() -> None:
        pipeline.reset()
        for block in blocks:
            pipeline.meter.push(block)
        for item in scored:
            if isinstance(item, FrameScores):
                for tracker in pipeline.trackers:
                    tracker.push(item)
            elif isinstance(item, BandPower):
                pipeline.meter.push(item)
        for tracker in pipeline.trackers:
            tracker.flush()
        pipeline.meter.flush()

    return run


def _store(bundle: Bundle, recording: Recording, folder: Path) -> Callable[[], object]:
    """All rows of the recording into a new database."""
    job = Job((recording,), 1)
    listener = Listener(ListenerSpec(bundle.path, "auto", "auto", EventsSettings()))
    told = list(messages(listener, job, lambda _: True))

    def run() -> None:
        with Store(folder / f"stage-{time.monotonic_ns()}.db") as store:
            deployment = store.ensure_deployment(store.ensure_station(StationSettings()), DeploymentSettings())
            run_id = store.ensure_run(describe_run(bundle, Settings()))
            ResultWriter(store, deployment, run_id).write(job, told, True)

    return run


def store(folder: Path, n_events: int) -> dict[str, float]:
    """What `detector.store.bench` measures, in one dict."""
    path = folder / "events.db"
    return {**insert_rate(n_events, path), **query_times(path)}


def main(arguments: Sequence[str]) -> dict[str, object]:
    """Run the measurement that the first argument names with the others."""
    name, *values = arguments
    if name == "matmul":
        return {**matmul(float(values[0]), float(values[1]))}
    if name == "store":
        return {**store(Path(values[0]), int(values[1]))}
    return stages(Path(values[0]), Path(values[1]), values[2], Path(values[3]), int(values[4]))


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
