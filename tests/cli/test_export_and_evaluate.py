"""`detector export` writes what other programs read; `detector evaluate` reads it back."""

from __future__ import annotations

import csv
import json
import shutil
from datetime import timedelta, timezone
from pathlib import Path

import pytest

from detector.cli.export import utc_ns
from detector.errors import ExportError
from tests.cli.conftest import run_detector

ENDINGS = {"raven": ".selections.txt", "audacity": ".txt", "csv": ".csv", "json": ".jsonl"}


@pytest.mark.parametrize("form", ENDINGS)
def test_each_format_lands_in_this_folder(replayed: Path, form: str) -> None:
    name = f"detections{ENDINGS[form]}"
    done = run_detector("export", form, "--min-confidence", 0.05, "--overwrite", folder=replayed)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f" events in {name}\n")
    assert (replayed / name).stat().st_size > 0


def test_one_table_for_each_recording(replayed: Path, tmp_path: Path) -> None:
    done = run_detector("export", "raven", "--per-recording", "--out", tmp_path / "tables", folder=replayed)
    assert done.returncode == 0, done.stderr
    written = {path.name for path in (tmp_path / "tables").iterdir()}
    assert written == {"Räkkylä 'suo'.selections.txt", "oak_20260501_203000.selections.txt"}


def test_since_leaves_out_what_is_earlier_and_says_what_has_no_time(replayed: Path, tmp_path: Path) -> None:
    done = run_detector("export", "json", "--since", "2026-05-01T20:30", "--min-confidence", 0.05, "--out", tmp_path / "a", folder=replayed)
    names = {Path(json.loads(line)["recording"]).name for line in (tmp_path / "a").read_text(encoding="utf-8").splitlines()}
    assert names == {"oak_20260501_203000.wav"}
    assert "because their time is not known" in done.stderr
    run_detector("export", "json", "--since", "2026-05-02", "--min-confidence", 0.05, "--out", tmp_path / "b", folder=replayed)
    assert (tmp_path / "b").read_text() == ""


def test_a_class_that_is_not_there_is_an_error_that_lists_those_that_are(replayed: Path) -> None:
    done = run_detector("export", "csv", "--class", "cow", folder=replayed)
    assert done.returncode == 2
    assert done.stderr == "error: class 'cow' is not in the database\nhint: classes here: animal\n"


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-02", 86_400 * 10**9 - 7200 * 10**9),
        ("1970-01-01T02:00:00.000001", 1000),
        ("1970-01-01T00:00:01Z", 10**9),
        ("1970-01-01T00:00+01:00", -3600 * 10**9),
    ],
)
def test_a_time_without_zone_is_read_in_the_zone_of_the_station(text: str, nanoseconds: int) -> None:
    assert utc_ns(text, timezone(timedelta(hours=2))) == nanoseconds


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "", "01.05.2026"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ExportError, match="is not a time"):
        utc_ns(text, timezone.utc)


@pytest.fixture(scope="module")
def labels(replayed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All candidates of the archive as labels, so that every one of them is right."""
    folder = tmp_path_factory.mktemp("labels")
    run_detector("export", "json", "--min-confidence", 0.05, "--out", folder / "all.jsonl", folder=replayed)
    events = [json.loads(line) for line in (folder / "all.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(events) > 0
    path = folder / "labels.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "start_s", "end_s", "low_hz", "high_hz", "label"])
        writer.writerows([Path(event["recording"]).name, event["start_s"], event["end_s"], "", "", "bird"] for event in events)
    return path


def test_candidates_as_their_own_labels_are_all_right(replayed: Path, labels: Path) -> None:
    done = run_detector("evaluate", labels, "--threshold", 0.05, "--json", folder=replayed)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    (animal,) = result["classes"]
    assert animal["label"] == "animal"
    assert animal["f1"]["value"] == 1.0
    assert animal["false_per_hour"]["value"] == 0.0
    assert result["n_labels_without_recording"] == 0


def test_the_text_says_threshold_measures_and_hours(replayed: Path, labels: Path) -> None:
    done = run_detector("evaluate", labels, "--threshold", 0.05, folder=replayed)
    assert done.stdout.startswith("animal, from confidence 0.05: ")
    assert "  F1              1" in done.stdout
    assert done.stdout.endswith("2 recordings, 0.02 h\n")


def test_labels_of_recordings_that_are_not_there_are_told(replayed: Path, labels: Path, tmp_path: Path) -> None:
    shutil.copy(labels, tmp_path / "more.csv")
    with (tmp_path / "more.csv").open("a", encoding="utf-8") as file:
        file.write("elsewhere.wav,0,1,,,bird\n")
    done = run_detector("evaluate", tmp_path / "more.csv", folder=replayed)
    assert "1 labels belong to 1 recordings that are not in the database: elsewhere.wav" in done.stderr


def test_labels_can_be_mapped(replayed: Path, labels: Path) -> None:
    done = run_detector("evaluate", labels, "--map", "bird=", "--all-labelled", "--json", folder=replayed)
    assert json.loads(done.stdout)["classes"][0]["n_labels"] == 0
    assert run_detector("evaluate", labels, "--map", "bird", folder=replayed).returncode == 2


def test_a_missing_database_is_an_error(labels: Path, tmp_path: Path) -> None:
    done = run_detector("evaluate", labels, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no database detections.db\nhint: ")
