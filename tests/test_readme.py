"""README.md is true: its commands run, its queries answer, its Python works.

Every line of a console block that begins with "$ " is run by bash, every sql block is asked of detections.db, and every python block is
run, in one folder that holds what a reader would have by then:

    recordings/       three short recordings of the demonstration's scene
    detections.db     what `detector replay recordings` left
    labels.csv        the calls that are planted in them
    demo/             what `detector demo` left
    models/           the bundles of the repository
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from detector.audio.writer import write_recording
from detector.cli.main import COMMANDS
from detector.train.synthesis import demo_scene

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"

RUN_ELSEWHERE = ("git clone ", "cd ", "make demo", "make test", "pip install ", "sudo apt install ")
"""How the program is installed: .ci/run runs the two make commands in a fresh clone, test_packaging.py the installation."""

SHORTER = {
    r"detector bench(?! --quick).*": "detector bench --quick --only start --json",
    r"detector train .*": "detector train --help",
}
"""What takes minutes or hours is run in a form that takes seconds; the long form of these commands has tests of its own."""


def blocks(language: str) -> list[str]:
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Lines after "$ "; a backslash at the end goes on in the next line."""
    joined = [block.replace("\\\n", " ") for block in blocks("console")]
    return [line[2:].strip() for block in joined for line in block.splitlines() if line.startswith("$ ")]


def runnable() -> list[str]:
    return [line for line in commands() if not line.startswith(RUN_ELSEWHERE)]


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, capture_output=True, text=True, env={**os.environ, "PATH": path}, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader would have."""
    place = tmp_path_factory.mktemp("reader")
    (place / "recordings").mkdir()
    shutil.copytree(ROOT / "models", place / "models")
    rows = []
    for index in range(3):
        scene = demo_scene(index, 48_000, 30.0)
        name = f"oak_20260501_20{index}000.wav"
        write_recording(place / "recordings" / name, [scene.samples], scene.sample_rate_hz)
        rows += [[name, label.start_s, label.end_s, label.low_hz, label.high_hz, "animal"] for label in scene.labels]
    with (place / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file", "start_s", "end_s", "low_hz", "high_hz", "label"], *rows])
    for line in ("detector demo", "detector replay recordings"):
        done = run(line, place)
        assert done.returncode == 0, done.stderr
    return place


def test_the_readme_shows_commands_queries_and_python() -> None:
    assert len(runnable()) >= 5
    assert len(blocks("sql")) >= 3
    assert len(blocks("python")) >= 1


def test_every_command_is_in_the_readme() -> None:
    text = README.read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"detector {name}" not in text] == []


@pytest.mark.parametrize("line", runnable())
def test_a_command_of_the_readme_runs(line: str, folder: Path) -> None:
    short = next((shorter for pattern, shorter in SHORTER.items() if re.fullmatch(pattern, line)), line)
    done = run(short, folder)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("query", blocks("sql"))
def test_a_query_of_the_readme_answers(query: str, folder: Path) -> None:
    with sqlite3.connect(f"file:{folder / 'detections.db'}?mode=ro", uri=True) as db:
        cursor = db.execute(query)
        assert cursor.description is not None
        cursor.fetchall()


@pytest.mark.parametrize("code", blocks("python"))
def test_python_of_the_readme_works(code: str, folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def test_the_files_that_the_readme_points_to_exist() -> None:
    text = README.read_text(encoding="utf-8")
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text) if not target.startswith(("http", "#", "mailto"))]
    assert [target for target in targets if not (ROOT / target).exists()] == []
