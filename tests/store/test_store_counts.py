"""Counts are exact at any threshold, the ledger adds up, and the queries of the README give what they promise."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import StoreError
from detector.store.bench import insert_rate, query_times
from detector.store.counts import count_days
from detector.store.effort import effort_balance
from detector.store.reader import open_reader
from detector.store.rollup import EDGES, counts_at_edges
from detector.store.rows import ClassInfo
from detector.store.store import Store
from detector.store.thresholds import ThresholdVersion
from detector.timeline import NANOSECONDS
from detector.types import EffortSpan, EffortState, StartTime
from tests.store.scenes import RATE_HZ, START_NS, listen, make_event, make_recording, make_run, make_segment, ready

HOUR = 3600
LOST_BEFORE_THE_HOUR = 600


def fill(path: Path) -> None:
    """Two stations, three days, two classes, an older run and a copy."""
    classes = (ClassInfo("animal", "frog", 0.5), ClassInfo("animal", "owl", 0.6))
    new, old = make_run(classes=classes), replace(make_run("b" * 64, classes), bundle="old")
    with Store(path) as store:
        for number in range(12):
            station = ("pond", "wood")[number % 2]
            name = Path(f"/card/{number}.wav")
            start = StartTime(START_NS + number * 6 * HOUR * NANOSECONDS) if number < 10 else StartTime()
            header = make_recording(name, start=start)
            events = [make_event(50 * i, 0.06 + (37 * i + 11 * number) % 93 / 100, label=("frog", "owl")[i % 2]) for i in range(40)]
            for run in (old, new)[: 1 + number % 3]:
                listen(store, name, events, str(number), run, header, station)


@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.0626, 0.3, 0.35, 0.4999, 0.5, 0.5001, 0.73, 0.975, 0.98, 0.99, 0.999, 1.0, None])
def test_counts_by_day_class_and_station_are_those_of_the_events(tmp_path: Path, threshold: float | None) -> None:
    path = tmp_path / "x.db"
    fill(path)
    with Store(path) as store:
        store.add_threshold(ThresholdVersion("a" * 64, "animal", "owl", store.ensure_source(1, "recordings", "1"), 0.42, "by eye", "Aino"))
    with open_reader(path) as db:
        where = "confidence >= threshold" if threshold is None else f"confidence >= {threshold!r}"
        rows = db.execute(f"SELECT head, label, station, day FROM candidate WHERE {where}").fetchall()
        counted = {tuple(row[:4]): row.n_events for row in count_days(db, threshold)}
        of_old_run = sum(row.n_events for row in count_days(db, threshold, make_run("b" * 64).run_id))
        (expected,) = db.execute(f"SELECT count(*) FROM candidate WHERE {where} AND bundle = 'old'").fetchone()
        with pytest.raises(StoreError, match="run 'x'"):
            count_days(db, threshold, "x")
    assert counted == dict(Counter(rows))
    assert of_old_run == expected


@given(st.lists(st.one_of(st.floats(0, 1), st.sampled_from(EDGES))))
@settings(max_examples=200, deadline=None)
def test_the_edges_of_the_rollup_are_inclusive(confidences: list[float]) -> None:
    expected = [len(confidences)] + [sum(confidence >= edge for confidence in confidences) for edge in EDGES]
    assert counts_at_edges(confidences) == expected


span = st.tuples(st.sampled_from(["analysed", "lost", "paused", "degraded"]), st.integers(0, 50), st.integers(1, 50))


@given(st.lists(span, max_size=5), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_the_ledger_balances_exactly_when_spans_tile_the_segment(spans: list[tuple[str, int, int]], n_samples: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.db"
        with Store(path) as store:
            deployment, source, run = ready(store)
            key = store.add_recording(deployment, make_recording(Path("/a.wav"), 100), "a")
            segment = make_segment("a", [(key, 0)], source)
            store.begin_segment(run, segment)
            store.add_results(run, segment.segment_id, [], [EffortSpan(EffortState(state), start, n) for state, start, n in spans])
            store.complete_segment(run, segment.segment_id, n_samples)
        with open_reader(path) as db:
            balance = effort_balance(db)
    tiles = [0] * 200
    for state, start, n in spans:
        if state != "degraded":
            for sample in range(start, start + n):
                tiles[sample] += 1
    once_inside = all(count == 1 for count in tiles[:n_samples])
    behind = tiles[n_samples:]
    once_behind = set(behind) <= {0, 1} and sorted(behind, reverse=True) == behind
    assert (not balance.faults) == (once_inside and once_behind)
    assert balance.segments == 1


def test_the_balance_says_what_was_analysed_and_lost(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with Store(path) as store:
        deployment, source, run = ready(store)
        key = store.add_recording(deployment, make_recording(Path("/a.wav")), "a")
        segment = make_segment("a", [(key, 0)], source)
        spans = [
            EffortSpan(EffortState.ANALYSED, 0, 60 * RATE_HZ),
            EffortSpan(EffortState.DEGRADED, 0, 60 * RATE_HZ, "rate cap: animal", 7),
            EffortSpan(EffortState.LOST, 60 * RATE_HZ, 2 * RATE_HZ, "header promises more"),
            EffortSpan(EffortState.LOST, 62 * RATE_HZ, None, "gap between files"),
        ]
        store.begin_segment(run, segment)
        store.add_results(run, segment.segment_id, [], spans)
        store.complete_segment(run, segment.segment_id, 60 * RATE_HZ)
    with open_reader(path) as db:
        balance = effort_balance(db)
    assert (balance.analysed_s, balance.lost_s, balance.unknown_losses, balance.faults) == (60.0, 2.0, 1, ())


def test_the_three_queries_of_the_readme(tmp_path: Path) -> None:
    """Calls per hour with effort, what was lost, most uncertain candidates."""
    path = tmp_path / "x.db"
    with Store(path) as store:
        deployment, source, run = ready(store)
        # Begins at 04:50 UTC, so that one span of 20 minutes lies on both sides of the hour.
        start_ns = START_NS - LOST_BEFORE_THE_HOUR * NANOSECONDS
        header = make_recording(Path("/card/a.wav"), 20 * 60 * RATE_HZ, StartTime(start_ns))
        key = store.add_recording(deployment, header, "a")
        segment = make_segment("a", [(key, 0)], source, start_ns)
        events = [make_event(100 * second, confidence) for second, confidence in ((5, 0.9), (700, 0.7), (800, 0.55), (900, 0.2))]
        spans = [
            EffortSpan(EffortState.ANALYSED, 0, 15 * 60 * RATE_HZ),
            EffortSpan(EffortState.LOST, 15 * 60 * RATE_HZ, 5 * 60 * RATE_HZ, "non-finite samples"),
        ]
        store.begin_segment(run, segment)
        store.add_results(run, segment.segment_id, events, spans)
        store.complete_segment(run, segment.segment_id, 20 * 60 * RATE_HZ)
    per_hour = """
        SELECT station, hour_utc, analysed_s, lost_s, count(event_uuid) AS calls, 3600 * count(event_uuid) / analysed_s AS calls_per_hour
        FROM effort_by_hour LEFT JOIN detection USING (station, hour_utc) GROUP BY station, hour_utc"""
    lost = "SELECT station, reason, count(*) AS times, sum(duration_s) AS seconds FROM effort_in_force WHERE state = 'lost' GROUP BY 1, 2"
    uncertain = "SELECT recording, start_s, end_s, label, confidence FROM candidate ORDER BY abs(confidence - threshold) LIMIT 2"
    with open_reader(path) as db:
        assert db.execute(per_hour).fetchall() == [
            ("pond", "2026-04-01T04", 600.0, 0.0, 1, 6.0),
            ("pond", "2026-04-01T05", 300.0, 300.0, 2, 24.0),
        ]
        assert db.execute(lost).fetchall() == [("pond", "non-finite samples", 1, 300.0)]
        assert [(row["start_s"], row["label"]) for row in db.query(uncertain)] == [(800.0, "animal"), (700.0, "animal")]


def test_the_bench_writes_what_it_counts(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    rate = insert_rate(2_010, path)
    assert rate["events"] == 2_010
    assert rate["events_per_s"] > 0
    with open_reader(path) as db:
        assert sum(row.n_events for row in count_days(db, 0.05)) == 2_010
        assert effort_balance(db).faults == ()
    assert all(value > 0 for value in query_times(path).values())
