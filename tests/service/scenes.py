"""Recordings for the tests of replay: one synthetic scene, cut and written in different ways."""

from __future__ import annotations

import sqlite3
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from detector.config import Settings
from detector.service.replay import ReplaySummary, replay
from detector.train.synthesis import demo_scene

RATE_HZ = 48_000
FLOOR = 0.05

CONTENT = {
    "recording": "SELECT replace(path, :folder, ''), audio_hash, n_samples, start_ns, bad_because, is_current, duplicate_of FROM recording",
    "segment": "SELECT segment_uuid, channel, first_sample, n_samples, start_ns FROM segment",
    "event": "SELECT event_uuid, label, start_frame, end_frame, start_s, end_s, start_ns, confidence, hex(embedding), is_linked FROM event",
    "effort": "SELECT segment_id, state, start_sample, n_samples, reason, count, band_levels_db FROM effort",
    "analysis": "SELECT segment_id, head, state, is_active, n_candidates FROM analysis",
    "rollup": "SELECT * FROM rollup",
    "threshold": "SELECT head, label, min_confidence, method FROM threshold",
}


@cache
def samples(seed: int = 1, seconds: float = 60.0, rate_hz: int = RATE_HZ) -> npt.NDArray[np.int16]:
    """A scene as a 16-bit recorder would write it."""
    scene = demo_scene(seed, rate_hz, seconds)
    return np.asarray(np.rint(scene.samples * 32767), np.int16)


def write(path: Path, pcm: npt.NDArray[np.int16], rate_hz: int = RATE_HZ, subtype: str = "PCM_16") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, pcm, rate_hz, subtype=subtype)
    return path


def settings(db: Path, **sections: dict[str, object]) -> Settings:
    """Default settings with another database and a low floor, so that there is plenty to compare."""
    values: dict[str, object] = {"store": {"path": str(db)}, "events": {"floor": FLOOR}, "replay": {"workers": 1}}
    return Settings.model_validate(values | sections)


def run(folder: Path, db: Path, **sections: dict[str, object]) -> ReplaySummary:
    return replay([folder], settings(db, **sections))


def content(db: Path, folder: Path, ordered: bool = True) -> dict[str, list[tuple[object, ...]]]:
    """Everything in the database that does not depend on when or where it was made."""
    with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as connection:
        given = {"folder": str(folder)}
        rows = {name: connection.execute(query, given if ":folder" in query else {}).fetchall() for name, query in CONTENT.items()}
    connection.close()
    return rows if ordered else {name: sorted(each, key=repr) for name, each in rows.items()}
