"""`detector replay` says what it did, what was bad, and how to go on."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from detector.audio.writer import write_recording
from detector.cli.progress import hours, line, remaining_s, times_real_time
from detector.cli.replay import override
from detector.config import Settings
from detector.service.replay import Progress
from tests.cli.conftest import RATE_HZ, run_detector

COMMAND = [sys.executable, "-m", "detector.cli.main"]


def rows(database: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        return db.execute(query).fetchall()


def test_the_summary_tells_recordings_audio_and_detections(archive: Path, tmp_path: Path) -> None:
    done = run_detector("replay", "card", "--db", tmp_path / "new.db", "--workers", 1, folder=archive)
    assert done.returncode == 0, done.stderr
    assert "2 new, 0 unchanged, 0 bad" in done.stdout
    assert "60 s in " in done.stdout
    assert "animal " in done.stdout
    assert "15500 Hz" in done.stderr  # the recordings reach further up than the bundle hears


def test_a_second_time_nothing_is_done_and_no_row_changes(replayed: Path) -> None:
    database = replayed / "detections.db"
    before = rows(database, "SELECT * FROM event ORDER BY event_id"), rows(database, "SELECT * FROM effort ORDER BY effort_id")
    done = run_detector("replay", "card", folder=replayed)
    assert "0 new, 2 unchanged, 0 bad" in done.stdout
    assert (rows(database, "SELECT * FROM event ORDER BY event_id"), rows(database, "SELECT * FROM effort ORDER BY effort_id")) == before


def test_a_bad_file_is_listed_and_the_exit_code_is_1(archive: Path, tmp_path: Path) -> None:
    shutil.copytree(archive / "card", tmp_path / "card")
    (tmp_path / "card" / "text.wav").write_text("this is no sound")
    done = run_detector("replay", "card", folder=tmp_path)
    assert done.returncode == 1
    assert "2 new, 0 unchanged, 1 bad" in done.stdout
    assert f"bad: {tmp_path / 'card' / 'text.wav'}: " in done.stderr


def test_json_holds_the_summary_and_nothing_else(replayed: Path) -> None:
    done = run_detector("replay", "card", "--json", folder=replayed)
    summary = json.loads(done.stdout)
    assert summary["recordings_unchanged"] == 2
    assert summary["recordings_bad"] == []
    assert set(summary["detections"]) == {"animal"}


def test_a_path_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    done = run_detector("replay", "nowhere*.wav", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_says_what_is_kept_and_the_next_run_goes_on(tmp_path: Path, workers: str) -> None:
    (tmp_path / "card").mkdir()
    rng = np.random.default_rng(0)
    for index in range(12):
        noise = rng.normal(0, 0.05, 120 * RATE_HZ).astype(np.float32)
        write_recording(tmp_path / "card" / f"{index}.wav", [noise], RATE_HZ)
    process = subprocess.Popen(
        [*COMMAND, "replay", "card", "--workers", workers], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not (tmp_path / "detections.db").exists():
        time.sleep(0.02)
    time.sleep(1.0)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped: finished recordings are in detections.db" in errors
    assert "hint: run the same command again" in errors
    assert "Traceback" not in errors
    done = run_detector("replay", "card", "--json", "--workers", workers, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path / "detections.db", "SELECT sum(n_samples) FROM effort WHERE state = 'analysed'") == [(12 * 120 * RATE_HZ,)]


def test_a_terminal_gets_a_bar(archive: Path, tmp_path: Path) -> None:
    parent, child = pty.openpty()
    arguments = [*COMMAND, "replay", "card", "--db", str(tmp_path / "bar.db"), "--workers", "1"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160"}
    process = subprocess.Popen(arguments, cwd=archive, stdout=subprocess.DEVNULL, stderr=child, env=environment)
    os.close(child)
    shown = b""
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:  # the terminal is gone when the process has ended
            break
        if not piece:
            break
        shown += piece
    os.close(parent)
    assert process.wait(timeout=60) == 0
    text = shown.decode(errors="replace")
    assert "/2 files" in text
    assert "real time" in text
    assert " left" in text


def progress(done_s: float, elapsed_s: float) -> Progress:
    return Progress(files_done=3, files_total=12, audio_s_done=done_s, audio_s_total=7200.0 * 4, elapsed_s=elapsed_s)


def test_progress_in_words() -> None:
    assert line(progress(7200.0, 30.0)) == "3/12 files, 2.0 h of 8.0 h of audio, 240x real time, 90 s left"


def test_before_there_is_a_speed_the_time_left_is_unknown() -> None:
    assert remaining_s(progress(0.0, 3.0)) is None
    assert times_real_time(0.0, 3.0) == "-"
    assert line(progress(0.0, 3.0)).endswith("unknown time left")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (36_000, "10.0 h")])
def test_durations_for_people(seconds: float, text: str) -> None:
    assert hours(seconds) == text


def test_the_command_line_overrides_the_settings() -> None:
    changed = override(Settings(), Path("x.db"), bundle="bats", workers=3, engine="onnx", device=None)
    assert (changed.store.path, changed.bundle, changed.replay.workers) == ("x.db", "bats", 3)
    assert (changed.engine.name, changed.engine.device) == ("onnx", "auto")
    assert override(Settings(), None, None, None, None, None) == Settings()
