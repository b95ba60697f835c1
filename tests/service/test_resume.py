"""A long replay killed at random moments and resumed equals an undisturbed one, row for row."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.service import scenes

KILLS = 20
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


def test_twenty_kills_lose_and_add_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    make_archive(folder, 120, 40.0)
    began = time.monotonic()
    assert start(folder, tmp_path / "calm.db", 1).wait() == 0
    calm_s = time.monotonic() - began
    rng = random.Random(7)
    killed = 0
    for attempt in range(10 * KILLS):
        child = start(folder, tmp_path / "killed.db", 1 + attempt % 2)
        try:
            code = child.wait(timeout=1.0 + rng.random() * calm_s / 6)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
            killed += 1
            if killed == KILLS:
                break
            continue
        assert code == 0
        break
    assert start(folder, tmp_path / "killed.db", 1).wait() == 0
    assert scenes.content(tmp_path / "killed.db", tmp_path) == scenes.content(tmp_path / "calm.db", tmp_path)
    assert killed >= 5
