"""Exported tables are what other programs read, hold what the database holds, and never appear in half."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import crowsetta
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import ExportError, StoreError
from detector.store import export
from detector.store.events import COLUMNS, EventFilter, count_without_time, iterate_events
from detector.store.export import ExportSummary, unique_names, write_export
from detector.store.formats import RAVEN_COLUMNS, one_line
from detector.store.reader import open_reader
from detector.store.rows import ClassInfo
from detector.store.store import Store
from detector.timeline import NANOSECONDS
from detector.types import StartTime
from tests.store.scenes import START_NS, listen, make_event, make_recording, make_run

LABEL = 'Kuikka\t"härö"\nsecond line'
QUOTED = '"Lehtopöllö" juv.'
CLASSES = (
    ClassInfo("animal", "animal", 0.5, 500.0, 12_000.0),
    ClassInfo("animal", LABEL, 0.5, 200.0, 4_000.0),
    ClassInfo("animal", QUOTED, 0.5),
)
RUN = make_run(classes=CLASSES)
NAMES = ("/card/site a/yö 1.wav", "/card/site b/yö 1.wav", "/card/site b/empty.wav")

# The reader is older than the newest pandas and uses a keyword of it that is about to go.
CROWSETTA = pytest.mark.filterwarnings("ignore:The inplace keyword")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "x.db"
    with Store(path) as store:
        for number, name in enumerate(NAMES):
            start = StartTime(START_NS + number * 3600 * NANOSECONDS)
            events = [
                make_event(123, 0.9),
                make_event(2000 + number, 0.8, label=LABEL),
                make_event(3000, 0.7, label=QUOTED),
                make_event(4000, 0.2),
            ]
            listen(store, Path(name), events if number < 2 else [], name, RUN, make_recording(Path(name), start=start))
    return path


def rows(path: Path, **wanted: Any) -> list[dict[str, Any]]:
    with open_reader(path) as db:
        return list(iterate_events(db, EventFilter(**wanted)))


@CROWSETTA
def test_a_raven_table_of_all_recordings_is_read_back_by_another_program(database: Path, tmp_path: Path) -> None:
    output = tmp_path / "all.selections.txt"
    assert write_export(database, "raven", output) == ExportSummary(files=1, events=6, without_time=0)
    assert output.read_text().split("\n")[0].split("\t") == list(RAVEN_COLUMNS)
    boxes = crowsetta.formats.bbox.Raven.from_file(output).to_bbox()
    expected = [(1.23, 1.43), (20, 20.2), (30, 30.2), (121.23, 121.43), (140.01, 140.21), (150, 150.2)]
    assert [(box.onset, box.offset) for box in boxes] == expected
    assert [box.label for box in boxes[:3]] == ["animal", "Kuikka 'härö' second line", "'Lehtopöllö' juv."]
    assert [(box.low_freq, box.high_freq) for box in boxes[:2]] == [(500, 12_000), (200, 4_000)]
    frame = pandas.read_csv(output, sep="\t")
    assert list(frame["File Offset (s)"]) == [1.23, 20, 30, 1.23, 20.01, 30]
    assert list(frame["Begin Path"]) == [NAMES[0]] * 3 + [NAMES[1]] * 3
    assert list(frame["Event Id"]) == [row["event_uuid"] for row in rows(database)]
    assert frame["Start UTC"][0] == "2026-04-01T05:00:01.230000Z"
    assert list(frame["Selection"]) == [1, 2, 3, 4, 5, 6]


@CROWSETTA
def test_raven_tables_of_each_recording_stand_under_unique_names(database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    assert write_export(database, "raven", folder, per_recording=True).files == 3
    assert sorted(os.listdir(folder)) == ["empty.selections.txt", "yö 1.selections.txt", "yö 1.wav.selections.txt"]
    boxes = crowsetta.formats.bbox.Raven.from_file(folder / "yö 1.wav.selections.txt").to_bbox()
    assert [box.onset for box in boxes] == [1.23, 20.01, 30]
    assert (folder / "empty.selections.txt").read_text() == "\t".join(RAVEN_COLUMNS) + "\n"
    assert len(pandas.read_csv(folder / "empty.selections.txt", sep="\t")) == 0


@CROWSETTA
def test_audacity_labels_are_read_back_by_another_program(database: Path, tmp_path: Path) -> None:
    output = tmp_path / "labels.txt"
    write_export(database, "audacity", output, EventFilter(min_confidence=0.1, labels=("animal", LABEL)))
    boxes = crowsetta.formats.bbox.AudBBox.from_file(output).to_bbox()
    expected = [(1.23, 1.43), (20, 20.2), (40, 40.2), (121.23, 121.43), (140.01, 140.21), (160, 160.2)]
    assert [(box.onset, box.offset) for box in boxes] == expected
    assert [box.label for box in boxes[:2]] == ["animal", 'Kuikka "härö" second line']
    assert (boxes[1].low_freq, boxes[1].high_freq) == (200, 4_000)


def test_csv_holds_every_column_and_value(database: Path, tmp_path: Path) -> None:
    output = tmp_path / "events.csv"
    write_export(database, "csv", output)
    with output.open(newline="", encoding="utf-8") as stream:
        table = list(csv.DictReader(stream))
    expected = rows(database)
    assert list(table[0]) == list(COLUMNS)
    assert [row["label"] for row in table] == [row["label"] for row in expected]
    assert [float(row["confidence"]) for row in table] == [row["confidence"] for row in expected]
    assert [int(row["start_ns"]) for row in table] == [row["start_ns"] for row in expected]


def test_json_lines_hold_every_value_exactly(database: Path, tmp_path: Path) -> None:
    output = tmp_path / "events.jsonl"
    write_export(database, "json", output)
    assert [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()] == rows(database)


@pytest.mark.parametrize(
    ("form", "content"),
    [("raven", "\t".join(RAVEN_COLUMNS) + "\n"), ("audacity", ""), ("csv", ",".join(COLUMNS) + "\n"), ("json", "")],
)
def test_nothing_found_is_a_valid_empty_table(database: Path, tmp_path: Path, form: str, content: str) -> None:
    summary = write_export(database, form, tmp_path / "none", EventFilter(min_confidence=0.99))
    assert (summary.events, (tmp_path / "none").read_text()) == (0, content)


def test_events_are_chosen_by_time_class_station_and_confidence(database: Path) -> None:
    hour = START_NS + 3600 * NANOSECONDS
    assert {row["recording"] for row in rows(database, since_ns=hour)} == {NAMES[1]}
    assert {row["recording"] for row in rows(database, until_ns=hour)} == {NAMES[0]}
    assert [row["label"] for row in rows(database, labels=(LABEL,))] == [LABEL, LABEL]
    assert len(rows(database, station="pond")) == 6
    assert len(rows(database, min_confidence=0.05)) == 8
    assert len(rows(database, min_confidence=0.75)) == 4


def test_an_older_run_is_exported_by_its_name(database: Path) -> None:
    newer = make_run("b" * 64, CLASSES)
    with Store(database) as store:
        header = make_recording(Path(NAMES[0]), start=StartTime(START_NS))
        listen(store, Path(NAMES[0]), [make_event(500, 0.9)], NAMES[0], newer, header)
    assert [row["start_s"] for row in rows(database) if row["recording"] == NAMES[0]] == [5.0]
    assert [row["start_s"] for row in rows(database, run_id=RUN.run_id) if row["recording"] == NAMES[0]] == [1.23, 20.0, 30.0]


def test_events_without_a_known_time_are_counted_when_a_time_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with Store(path) as store:
        listen(store, Path("/a.wav"), [make_event(0, 0.9)], "a", recording=make_recording(Path("/a.wav"), start=StartTime()))
    assert write_export(path, "csv", tmp_path / "x.csv", EventFilter(since_ns=0)) == ExportSummary(1, 0, 1)
    with open_reader(path) as db:
        assert count_without_time(db, EventFilter()) == 0


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"labels": ("Norppa",)}, "class 'Norppa'"),
        ({"station": "lake"}, "station 'lake'"),
        ({"run_id": "x"}, "run 'x'"),
        ({"min_confidence": 0.01}, "below the floor of 0.05"),
        ({"min_confidence": 1.5}, "between 0 and 1"),
    ],
)
def test_what_cannot_be_is_an_error(database: Path, tmp_path: Path, wanted: dict[str, Any], message: str) -> None:
    for per_recording in (False, True):
        with pytest.raises(ExportError) as trouble:
            write_export(database, "csv", tmp_path / "out", EventFilter(**wanted), per_recording)
        assert message in str(trouble.value)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ExportError, match="format 'xls'"):
        write_export(database, "xls", tmp_path / "out")
    with pytest.raises(StoreError, match="no database"):
        write_export(tmp_path / "none.db", "csv", tmp_path / "out")


def test_a_file_is_not_overwritten_unless_asked(database: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.csv"
    output.write_text("my notes")
    with pytest.raises(ExportError, match="exists"):
        write_export(database, "csv", output)
    assert output.read_text() == "my notes"
    write_export(database, "csv", output, overwrite=True)
    assert output.read_text().startswith("event_uuid,")
    assert write_export(database, "csv", output).events == 6
    for place in (tmp_path, tmp_path / "missing" / "x.csv"):
        with pytest.raises(ExportError):
            write_export(database, "csv", place)


def test_a_table_that_fails_half_way_does_not_appear(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.setattr(export.os, "fsync", full)
    with pytest.raises(ExportError, match="No space left"):
        write_export(database, "csv", folder / "x.csv")
    assert os.listdir(folder) == []


names = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x.wav", "X.WAV", "x.flac", "y.wav", "ä" * 120 + ".wav"])), unique=True)


@given(names)
def test_names_of_tables_are_unique_on_any_disk(pairs: list[tuple[str, str]]) -> None:
    paths = [f"/card/{folder}/{name}" for folder, name in pairs]
    found = unique_names(paths, ".selections.txt")
    assert sorted(found) == sorted(paths)
    assert len({name.casefold() for name in found.values()}) == len(paths)
    assert all(len(name.encode()) < 255 and "/" not in name for name in found.values())


@given(st.text())
def test_a_label_cannot_break_a_table(label: str) -> None:
    clean = one_line(label)
    assert len(clean) == len(label)
    assert len(clean.splitlines()) <= 1
    assert "\t" not in clean
