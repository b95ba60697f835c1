"""Every real recording there is goes through in one replay, and every second of it is accounted for."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.service import scenes


@pytest.fixture(scope="module")
def shared_audio() -> Path:
    folder = Path(__file__).parents[2].parent / "shared" / "audio"
    assert folder.is_dir(), f"{folder} is needed for this test"
    return folder


def test_all_recordings_replay_without_an_unhandled_case(shared_audio: Path, tmp_path: Path) -> None:
    db = tmp_path / "all.db"
    summary = scenes.run(shared_audio, db, replay={"workers": "auto"}, recordings={"channel": "mix"})
    files = [path for path in shared_audio.rglob("*") if path.suffix.lower() in {".wav", ".ogg", ".flac", ".mp3"}]
    assert len(files) > 1000
    assert summary.recordings_new + len(summary.recordings_bad) == len(files)
    assert not [reason for _, reason in summary.recordings_bad if "internal" in reason]
    with sqlite3.connect(db) as connection:
        (untiled,) = connection.execute(
            """SELECT count(*) FROM segment WHERE n_samples <> (
                SELECT total(n_samples) FROM effort WHERE effort.segment_id = segment.segment_id AND state = 'analysed')"""
        ).fetchone()
        (heard,) = connection.execute("SELECT count(DISTINCT recording_id) FROM run_recording").fetchone()
    connection.close()
    assert untiled == 0
    assert heard == summary.recordings_new
    assert summary.detections["animal"] > 100
