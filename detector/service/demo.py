"""The demonstration: a scene whose calls are known is replayed, and what was heard is put beside what was planted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from detector.audio.writer import write_recording
from detector.config import Settings, StoreSettings
from detector.evaluate.matching import maximum_matching
from detector.model.bundle import find_bundle, load_bundle
from detector.service.pictures import Box, draw_events
from detector.service.replay import ReplaySummary, replay
from detector.store.export import write_export
from detector.store.reader import open_reader
from detector.types import FloatArray

STARTED = "2026-05-01T20:30:00+03:00"
OVERLAP = 0.3
"""IoU above which a detection and a planted call are a pair, as in `detector evaluate`."""

_DETECTIONS = "SELECT start_s, end_s, low_hz, high_hz, confidence FROM detection WHERE recording = ? ORDER BY start_s, end_s"


@dataclass(frozen=True, slots=True)
class Pair:
    """A planted call and the detection that found it; None where it was missed."""

    planted: Box
    detected: Box | None


@dataclass(frozen=True, slots=True)
class DemoFiles:
    """What a demonstration leaves in its folder."""

    recording: Path
    database: Path
    table: Path
    picture: Path


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What was planted and what was heard.

    Attributes
    ----------
    pairs : tuple of Pair
        One for each planted call, in order of time.
    extra : tuple of Box
        Detections without a planted call.
    summary : ReplaySummary
    files : DemoFiles
    """

    pairs: tuple[Pair, ...]
    extra: tuple[Box, ...]
    summary: ReplaySummary
    files: DemoFiles


def run_demo(samples: FloatArray, sample_rate_hz: int, planted: Sequence[Box], folder: Path) -> DemoResult:
    """Write the scene, replay it with the default bundle, and compare.

    Parameters
    ----------
    samples : float32 (n,)
    sample_rate_hz : int
    planted : sequence of Box
        The known calls, in order of start.
    folder : Path
        Made if it is not there; done again, nothing in its database changes.

    Raises
    ------
    DetectorError
        Whatever a replay may raise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = DemoFiles(
        folder / "scene.wav", folder / "detections.db", folder / "detections.selections.txt", folder / "events.png"
    )
    _write_scene(files.recording, samples, sample_rate_hz)
    settings = Settings(store=StoreSettings(path=str(files.database)))
    summary = replay([files.recording], settings)
    detected = read_detections(files)
    pairs, extra = match(planted, detected)
    write_export(files.database, "raven", files.table, overwrite=True)
    bundle = load_bundle(find_bundle(settings.bundle, None))
    boxes = [replace(pair.planted, found=pair.detected is not None) for pair in pairs]
    title = f"{len(planted)} planted calls, {sum(box.found for box in boxes)} found; {len(extra)} other detections"
    draw_events(files.picture, samples, sample_rate_hz, boxes, detected, title, highest_hz=bundle.card.high_hz)
    return DemoResult(pairs, extra, summary, files)


def _write_scene(path: Path, samples: FloatArray, sample_rate_hz: int) -> None:
    """Write the recording; a file that is already the same stays untouched, date and all."""
    fresh = path.with_name("fresh.wav")
    guano = {"Timestamp": STARTED, "Make": "field-detector", "Model": "synthetic scene"}
    write_recording(fresh, [samples], sample_rate_hz, guano)
    if path.exists() and path.read_bytes() == fresh.read_bytes():
        fresh.unlink()
    else:
        os.replace(fresh, path)


def read_detections(files: DemoFiles) -> list[Box]:
    """Detections of the scene at the thresholds in force, with their confidence as text."""
    with open_reader(files.database) as db:
        rows = list(db.query(_DETECTIONS, [str(files.recording.absolute())]))
    return [Box(row["start_s"], row["end_s"], row["low_hz"], row["high_hz"], f"{row['confidence']:.2f}") for row in rows]


def match(planted: Sequence[Box], detected: Sequence[Box]) -> tuple[tuple[Pair, ...], tuple[Box, ...]]:
    """The largest one-to-one pairing of boxes that overlap by more than `OVERLAP`, and the detections that are left."""
    found = maximum_matching(_spans(planted), _spans(detected), OVERLAP)
    pairs = tuple(Pair(box, None if at < 0 else detected[at]) for box, at in zip(planted, found.tolist(), strict=True))
    used = set(found.tolist())
    return pairs, tuple(box for at, box in enumerate(detected) if at not in used)


def _spans(boxes: Sequence[Box]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array([(box.start_s, box.end_s) for box in boxes], np.float64).reshape(len(boxes), 2)
