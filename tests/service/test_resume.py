"""A long replay killed at random moments and resumed equals an undisturbed one, row for row."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from tests.service import scenes

KILLS = 20
N_FILES = 150
SCRIPT = """
import sys
from pathlib import Path
from tests.service import scenes
if __name__ == "__main__":
    scenes.run(Path(sys.argv[1]), Path(sys.argv[2]), replay={"workers": int(sys.argv[3])})
"""


def start(folder: Path, db: Path, workers: int) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[2]
    script = folder.parent / "run.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(root)}
    return subprocess.Popen([sys.executable, str(script), str(folder), str(db), str(workers)], env=environment)


def make_archive(folder: Path, n_files: int, seconds: float) -> None:
    """Files that differ, cut from a few scenes."""
    for at in range(n_files):
        pcm = scenes.samples(at % 4, 60.0)
        name = f"day {at // 10}/20260401_{at // 60:02d}{at % 60:02d}00.wav"
        scenes.write(folder / name, pcm[at * 480 : at * 480 + int(seconds * scenes.RATE_HZ)])
    (folder / "day 0" / "empty.wav").touch()


def finished(db: Path) -> int:
    """Recordings that are committed as done."""
    try:
        with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as connection:
            (count,) = connection.execute("SELECT count(*) FROM run_recording").fetchone()
    except sqlite3.OperationalError:  # not made yet
        return 0
    connection.close()
    return int(count)


def test_twenty_kills_lose_and_add_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    make_archive(folder, N_FILES, 55.0)
    assert start(folder, tmp_path / "calm.db", 1).wait() == 0
    rng = random.Random(7)
    killed = tmp_path / "killed.db"
    for attempt in range(KILLS):
        goal = finished(killed) + rng.randint(0, 2)
        child = start(folder, killed, 1 + attempt % 2)
        while child.poll() is None and finished(killed) < goal:
            time.sleep(0.01)
        time.sleep(rng.random() * 0.3)
        assert child.poll() is None, "the replay was over before it could be killed"
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert finished(killed) < N_FILES
    assert start(folder, killed, 1).wait() == 0
    assert scenes.content(killed, tmp_path) == scenes.content(tmp_path / "calm.db", tmp_path)
