"""Writing twice changes nothing, and only one analysis of the same audio counts."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.config import DeploymentSettings, StationSettings
from detector.errors import StoreError
from detector.store import store as store_module
from detector.store.reader import open_reader
from detector.store.rows import path_text
from detector.store.store import Store
from detector.store.thresholds import ThresholdVersion
from detector.timeline import NANOSECONDS, event_id
from detector.types import BadRecording, EffortSpan, EffortState, StartTime
from tests.store.canonical import canonical
from tests.store.scenes import (
    CLASSES,
    RATE_HZ,
    START_NS,
    analysed,
    listen,
    make_event,
    make_recording,
    make_run,
    make_segment,
    ready,
)

MINUTE = 60 * RATE_HZ


def query(path: Path, sql: str) -> list[Any]:
    with open_reader(path) as db:
        rows = db.execute(sql).fetchall()
    return [row[0] if len(row) == 1 else row for row in rows]


def test_an_event_is_stored_with_its_place_time_and_statistics(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with Store(path) as store:
        segment = listen(store, Path("/card/one.wav"), [make_event(150, 0.8, label=CLASSES[1].label)], "one")
    with open_reader(path) as db:
        row = next(db.query("SELECT * FROM candidate"))
        embedding = db.execute("SELECT embedding FROM event").fetchone()[0]
    run = make_run().run_id
    assert row["event_uuid"] == event_id(run, segment, "animal", 'Kuikka\t"ä"', 150)
    assert (row["start_sample"], row["end_sample"]) == (150 * 480, 170 * 480)
    assert (row["start_s"], row["end_s"]) == (1.5, 1.7)
    assert (row["start_ns"], row["end_ns"]) == (START_NS + 1_500_000_000, START_NS + 1_700_000_000)
    assert (row["start_utc"], row["start_local"]) == ("2026-04-01T05:00:01.500000Z", "2026-04-01T08:00:01.500")
    assert (row["confidence"], row["threshold"]) == (pytest.approx(0.8), 0.6)
    assert (row["station"], row["recording"], row["channel"], row["day"]) == ("pond", "/card/one.wav", "1", "2026-04-01")
    assert np.frombuffer(embedding, "<f2").tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


def test_an_event_across_two_files_belongs_to_the_one_where_it_starts(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with Store(path) as store:
        deployment, source, run = ready(store)
        keys = [store.add_recording(deployment, make_recording(Path(f"/card/{name}.wav")), name) for name in ("a", "b")]
        segment = make_segment("ab", [(keys[0], 0), (keys[1], MINUTE)], source)
        store.begin_segment(run, segment)
        store.add_results(run, segment.segment_id, [make_event(5990, 0.9), make_event(6000, 0.8), make_event(6100, 0.7)], [])
        store.complete_segment(run, segment.segment_id, 2 * MINUTE)
        store.finish_recordings(run, keys, "ab")
    found = query(path, "SELECT recording, start_s, end_s FROM candidate ORDER BY start_sample")
    assert found == [("/card/a.wav", 59.9, 60.1), ("/card/b.wav", 0.0, 0.2), ("/card/b.wav", 1.0, 1.2)]


def test_a_segment_that_begins_inside_a_file_counts_seconds_from_the_start_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with Store(path) as store:
        deployment, source, run = ready(store)
        key = store.add_recording(deployment, make_recording(Path("/card/a.wav")), "a")
        for first, length in ((0, 10 * RATE_HZ), (20 * RATE_HZ, 40 * RATE_HZ)):
            segment = make_segment("a", [(key, -first)], source, START_NS + first // RATE_HZ * NANOSECONDS, first)
            store.begin_segment(run, segment)
            store.add_results(run, segment.segment_id, [make_event(100, 0.9)], [analysed(length)])
            store.complete_segment(run, segment.segment_id, length)
        store.finish_recordings(run, [key], "a")
    assert query(path, "SELECT start_s, start_utc FROM detection ORDER BY start_s") == [
        (1.0, "2026-04-01T05:00:01.000000Z"),
        (21.0, "2026-04-01T05:00:21.000000Z"),
    ]


def test_no_event_reaches_beyond_the_audio(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    n_samples = MINUTE - 1000
    with Store(path) as store:
        recording = make_recording(Path("/card/one.wav"), n_samples)
        listen(store, recording.path, [make_event(5900, 0.9, 100)], "one", recording=recording)
    assert query(path, "SELECT end_sample, end_s, end_ns FROM event") == [
        (n_samples, n_samples / RATE_HZ, START_NS + n_samples * NANOSECONDS // RATE_HZ)
    ]


@pytest.mark.parametrize(
    ("start", "day", "local"),
    [
        (StartTime(START_NS), "2026-04-01", None),
        (StartTime(None, "2026-03-31T23:59:50"), "2026-04-01", "2026-04-01T00:00:00.000"),
        (StartTime(), "unknown", None),
        (StartTime(-10 * NANOSECONDS), "1970-01-01", None),
    ],
)
def test_an_unknown_time_stays_unknown(tmp_path: Path, start: StartTime, day: str, local: str | None) -> None:
    path = tmp_path / "x.db"
    with Store(path) as store:
        listen(store, Path("/card/one.wav"), [make_event(1000, 0.9)], "one", recording=make_recording(Path("/card/one.wav"), start=start))
    ((found_day, found_local, start_ns, start_utc),) = query(path, "SELECT day, start_local, start_ns, start_utc FROM candidate")
    assert (found_day, found_local) == (day, local)
    assert (start_ns is None) == (start_utc is None) == (start.utc_ns is None)


def test_a_time_before_1970_is_written_right(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    start = StartTime(-1_250_000_000)
    with Store(path) as store:
        listen(store, Path("/card/one.wav"), [make_event(0, 0.9)], "one", recording=make_recording(Path("/card/one.wav"), start=start))
    assert query(path, "SELECT start_utc, day FROM candidate") == [("1969-12-31T23:59:58.750000Z", "1969-12-31")]


def test_doing_it_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    bad = BadRecording(Path("/card/bad.wav"), 3, 1, "not audio", "look at it")
    before = None
    for _ in range(3):
        with Store(path) as store:
            listen(store, Path("/card/one.wav"), [make_event(10, 0.9), make_event(100, 0.3)], "one")
            listen(store, Path("/card/copy.wav"), [], "one")
            store.add_bad_recording(ready(store)[0], bad)
        assert before is None or canonical(path) == before
        before = canonical(path)


def test_results_that_come_again_for_a_complete_segment_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with Store(path) as store:
        listen(store, Path("/card/one.wav"), [make_event(10, 0.9)], "one")
    before = canonical(path)
    with Store(path) as store:
        deployment, source, run = ready(store)
        key = store.add_recording(deployment, make_recording(Path("/card/one.wav")), "one")
        segment = make_segment("one", [(key, 0)], source)
        store.begin_segment(run, segment)
        store.add_results(run, segment.segment_id, [make_event(20 * i, 0.4) for i in range(300)], [analysed()])
        store.complete_segment(run, segment.segment_id, MINUTE)
    assert canonical(path) == before


def test_what_an_interrupted_analysis_has_left_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "ROWS_PER_STEP", 2)
    events = [make_event(100 * i, 0.9) for i in range(7)]
    whole, resumed = tmp_path / "whole.db", tmp_path / "resumed.db"
    with Store(whole) as store:
        listen(store, Path("/card/one.wav"), events, "one")
    with Store(resumed) as store:
        deployment, source, run = ready(store)
        key = store.add_recording(deployment, make_recording(Path("/card/one.wav")), "one")
        segment = make_segment("one", [(key, 0)], source)
        store.begin_segment(run, segment)
        store.add_results(run, segment.segment_id, events[:5], [])
    assert query(resumed, "SELECT count(*) FROM event") == [4]
    assert query(resumed, "SELECT count(*) FROM candidate") == [0]
    with Store(resumed) as store:
        listen(store, Path("/card/one.wav"), events, "one")
    assert canonical(resumed) == canonical(whole)


def test_two_processes_on_one_segment_do_not_mix_their_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "ROWS_PER_STEP", 2)
    path = tmp_path / "x.db"
    events = [make_event(100 * i, 0.9) for i in range(6)]
    with Store(path) as one:
        deployment, source, run = ready(one)
        segment = make_segment("one", [(one.add_recording(deployment, make_recording(Path("/card/one.wav")), "one"), 0)], source)
        one.begin_segment(run, segment)
        one.add_results(run, segment.segment_id, events[:4], [])
        one.flush()
        with Store(path) as other:
            listen(other, Path("/card/one.wav"), events, "one")
        one.add_results(run, segment.segment_id, events[4:], [analysed()])
        one.complete_segment(run, segment.segment_id, MINUTE)
    assert query(path, "SELECT start_s FROM candidate ORDER BY 1") == [0, 1, 2, 3, 4, 5]
    assert query(path, "SELECT count(*) FROM effort") == [1]


def test_a_threshold_is_a_view_over_what_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    count = "SELECT count(*) FROM detection"
    with Store(path) as store:
        listen(store, Path("/card/one.wav"), [make_event(200 * i, 0.05 + 0.1 * i) for i in range(10)], "one")
        station = store.ensure_station(StationSettings(name="pond"))
        store.flush()
        assert query(path, count) == [5]

        def choose(label: str | None, place: int | None, value: float | None) -> list[int]:
            store.add_threshold(ThresholdVersion("a" * 64, "animal", label, place, value, "by eye", "Aino"))
            return query(path, count)

        assert choose(None, None, 0.9) == [5], "the card's version is for the class, and narrower"
        assert choose("animal", None, 0.2) == [8]
        assert choose("animal", station, 0.8) == [2]
        assert choose("animal", station, None) == [8], "given up: the class holds again"
        assert choose("animal", None, None) == [1], "given up: the one for all classes holds"
    versions = "SELECT threshold_id, label, min_confidence, chosen_by FROM threshold ORDER BY threshold_id LIMIT 4"
    assert query(path, versions) == [
        (1, "animal", 0.5, "card"),
        (2, 'Kuikka\t"ä"', 0.6, "card"),
        (3, None, 0.9, "Aino"),
        (4, "animal", 0.2, "Aino"),
    ]


def test_a_second_run_of_a_bundle_keeps_the_thresholds_chosen_on_site(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with Store(path) as store:
        ready(store)
        store.add_threshold(ThresholdVersion("a" * 64, "animal", "animal", None, 0.77, "by eye", "Aino"))
        ready(store, make_run(settings='{"floor":0.1}'))
        ready(store, make_run("b" * 64))
    force = "SELECT min_confidence FROM threshold_in_force WHERE label = 'animal' ORDER BY run_id"
    assert query(path, force) == [0.77, 0.77, 0.5]


def test_the_settings_of_a_station_can_change(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with Store(path) as store:
        one = store.ensure_station(StationSettings(name="pond"))
        assert store.ensure_station(StationSettings(name="pond", latitude=61.5, time_zone="+02:00")) == one
        store.ensure_deployment(one, DeploymentSettings(name="spring", gain_db=0.0))
    assert query(path, "SELECT name, latitude, longitude, time_zone FROM station") == [("pond", 61.5, None, "+02:00")]
    assert query(path, "SELECT name, gain_db, sensitivity_db FROM deployment") == [("spring", 0.0, None)]


def test_the_effort_of_a_span_is_stored_with_its_levels(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with Store(path) as store:
        listen(store, Path("/card/one.wav"), [], "one")
    (levels,) = query(path, "SELECT band_levels_db FROM effort")
    assert json.loads(levels) == [-40.12, -55.5]


def test_an_unknown_class_or_segment_is_an_error(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        deployment, source, run = ready(store)
        segment = make_segment("one", [(store.add_recording(deployment, make_recording(Path("/a.wav")), "one"), 0)], source)
        with pytest.raises(StoreError, match="not begun"):
            store.add_results(run, segment.segment_id, [], [])
        with pytest.raises(StoreError, match="not known"):
            store.begin_segment("nothing", segment)
        store.begin_segment(run, segment)
        with pytest.raises(StoreError, match="no class 'Ufo'"):
            store.add_results(run, segment.segment_id, [make_event(0, 0.5, label="Ufo")], [])


def test_what_a_header_says_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    recording = dataclasses.replace(make_recording(Path("/card/ä b.wav")), metadata={"Loc": "61 24", "ä": "ö"}, gapless=True)
    with Store(path) as store:
        store.add_recording(ready(store)[0], recording, "hash")
    columns = "path, duration_s, container, encoding, recorder, device, is_gapless, metadata, start_provenance, zone_provenance"
    assert query(path, f"SELECT {columns} FROM recording") == [
        ("/card/ä b.wav", 60.0, "WAV", "PCM_16", "AudioMoth", "24F3190361", 1, '{"Loc": "61 24", "ä": "ö"}', "guano", "header")
    ]


def test_a_time_that_becomes_known_later_gives_the_rows_that_it_would_have_given_at_once(tmp_path: Path) -> None:
    at_once, later = tmp_path / "at once.db", tmp_path / "later.db"
    name = Path("/card/a.wav")
    known, unknown = (StartTime(utc_ns, provenance="guano", uncertainty_ns=NANOSECONDS) for utc_ns in (START_NS, None))
    events = [make_event(100 * i, 0.06 + 0.01 * i) for i in range(50)]
    for path, start in ((at_once, known), (later, unknown)):
        with Store(path) as store:
            listen(store, name, events, "a", recording=make_recording(name, start=start))
    assert canonical(later) != canonical(at_once)
    with Store(later) as store:
        key = store.known_recordings(make_run().run_id)["/card/a.wav"].recording_id
        store.restamp_recording(key, known)
    assert canonical(later) == canonical(at_once)


def test_a_name_that_is_not_utf8_is_stored(tmp_path: Path) -> None:
    name = Path("/card/\udce4.wav")
    with Store(tmp_path / "x.db") as store:
        listen(store, name, [make_event(0, 0.9)], "one")
        assert list(store.known_recordings(make_run().run_id)) == ["/card/\\xe4.wav"] == [path_text(name)]


def test_lost_effort_has_its_reason_and_may_have_no_length(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with Store(path) as store:
        deployment, source, run = ready(store)
        key = store.add_recording(deployment, make_recording(Path("/card/one.wav")), "one")
        segment = make_segment("one", [(key, 0)], source)
        store.begin_segment(run, segment)
        store.add_results(run, segment.segment_id, [], [analysed(), EffortSpan(EffortState.LOST, MINUTE, None, "between files")])
        store.complete_segment(run, segment.segment_id, MINUTE)
    assert query(path, "SELECT recording, reason, n_samples, duration_s, start_utc FROM effort_in_force WHERE state = 'lost'") == [
        ("/card/one.wav", "between files", None, None, "2026-04-01T05:01:00.000000Z")
    ]
