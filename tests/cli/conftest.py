"""A small archive and what `detector replay` makes of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from detector.audio.writer import write_recording
from detector.train.synthesis import demo_scene

Run = Callable[..., "subprocess.CompletedProcess[str]"]
RATE_HZ = 48_000
SETTINGS = "station:\n  name: oak\n  time_zone: '+03:00'\n"


def run_detector(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "detector.cli.main", *(str(part) for part in arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=240, check=False)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with settings and two recordings of 30 s, one with a name that tells its time."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "config.yaml").write_text(SETTINGS, encoding="utf-8")
    (folder / "card").mkdir()
    for index, name in enumerate(("oak_20260501_203000.wav", "Räkkylä 'suo'.flac")):
        scene = demo_scene(index, RATE_HZ, 30.0)
        write_recording(folder / "card" / name, [scene.samples], RATE_HZ)
    return folder


@pytest.fixture(scope="session")
def replayed(archive: Path) -> Path:
    """The archive with its database."""
    done = run_detector("replay", "card", "--workers", 1, folder=archive)
    assert done.returncode == 0, done.stderr
    return archive
