"""Files change, move and are copied; of all that was found in them the right part counts, and the counts follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detector.store.reader import open_reader
from detector.store.rows import RunInfo
from detector.store.store import Store
from detector.types import BadRecording
from tests.store.scenes import RATE_HZ, analysed, listen, make_event, make_recording, make_run, make_segment, ready

MINUTE = 60 * RATE_HZ
FOUND = "SELECT recording, start_s FROM candidate ORDER BY recording, start_s"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


def query(path: Path, sql: str) -> list[Any]:
    with open_reader(path) as db:
        return db.execute(sql).fetchall()


def counted(path: Path) -> int:
    """What the rollup says, which must be what the view says."""
    (rollup,) = query(path, "SELECT coalesce(sum(n_candidates), 0), coalesce(sum(at_least_50), 0) FROM rollup")
    (view,) = query(path, "SELECT count(*), count(*) FILTER (WHERE confidence >= 0.5) FROM candidate")
    assert rollup == view
    assert query(path, "SELECT count(*) FROM rollup WHERE n_candidates <= 0") == [(0,)]
    return int(view[0])


def file(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(b"audio")
    return path


def test_other_content_under_a_path_replaces_the_old_which_is_kept(database: Path) -> None:
    with Store(database) as store:
        listen(store, Path("/card/a.wav"), [make_event(100, 0.9), make_event(200, 0.9)], "old")
        listen(store, Path("/card/b.wav"), [make_event(300, 0.9)], "b")
        listen(store, Path("/card/a.wav"), [make_event(400, 0.3)], "new", recording=make_recording(Path("/card/a.wav"), mtime_ns=2))
    assert query(database, FOUND) == [("/card/a.wav", 4.0), ("/card/b.wav", 3.0)]
    assert query(database, "SELECT count(*) FROM event") == [(4,)]
    assert counted(database) == 2


def test_old_content_that_comes_back_counts_again_without_being_heard_again(database: Path) -> None:
    path = Path("/card/a.wav")
    with Store(database) as store:
        listen(store, path, [make_event(100, 0.9)], "old")
        listen(store, path, [make_event(400, 0.3)], "new", recording=make_recording(path, mtime_ns=2))
        listen(store, path, [], "old", recording=make_recording(path, mtime_ns=3))
    assert query(database, FOUND) == [("/card/a.wav", 1.0)]
    assert counted(database) == 1


def test_identical_audio_counts_once(database: Path, tmp_path: Path) -> None:
    one, copy = file(tmp_path, "one.wav"), file(tmp_path, "copy.flac")
    with Store(database) as store:
        segment = listen(store, one, [make_event(100, 0.9)], "same")
        assert store.is_complete(make_run().run_id, segment)
        listen(store, copy, [make_event(100, 0.9)], "same")
    assert query(database, FOUND) == [(str(one), 1.0)]
    duplicate = "SELECT copy.path, first.path FROM recording AS copy JOIN recording AS first ON first.recording_id = copy.duplicate_of"
    assert query(database, duplicate) == [(str(copy), str(one))]
    assert query(database, "SELECT sum(duration_s) FROM effort_in_force") == [(60.0,)]


def test_a_copy_takes_over_when_the_original_gets_other_content(database: Path, tmp_path: Path) -> None:
    one, copy, third = (file(tmp_path, name) for name in ("one.wav", "copy.wav", "third.wav"))
    with Store(database) as store:
        for path in (one, copy, third):
            listen(store, path, [make_event(100, 0.9)], "same")
        listen(store, one, [make_event(200, 0.9)], "new", recording=make_recording(one, mtime_ns=2))
    assert query(database, FOUND) == [(str(copy), 1.0), (str(one), 2.0)]
    assert query(database, "SELECT count(*) FROM recording WHERE duplicate_of IS NOT NULL AND is_current") == [(1,)]
    assert counted(database) == 2


def test_a_file_that_was_moved_keeps_its_detections(database: Path, tmp_path: Path) -> None:
    old, new = file(tmp_path, "old.wav"), tmp_path / "new.wav"
    with Store(database) as store:
        listen(store, old, [make_event(100, 0.9)], "same")
    old.rename(new)
    with Store(database) as store:
        listen(store, new, [make_event(100, 0.9)], "same")
    assert query(database, FOUND) == [(str(new), 1.0)]
    assert query(database, "SELECT count(*) FROM recording") == [(1,)]


def test_a_renamed_file_whose_old_name_was_used_again_keeps_its_detections(database: Path, tmp_path: Path) -> None:
    a, b = file(tmp_path, "a.wav"), file(tmp_path, "b.wav")
    with Store(database) as store:
        listen(store, a, [make_event(100, 0.9)], "first")
        listen(store, a, [make_event(200, 0.9)], "second", recording=make_recording(a, mtime_ns=2))
        listen(store, b, [], "first")
    assert query(database, FOUND) == [(str(a), 2.0), (str(b), 1.0)]
    assert counted(database) == 2


def test_a_touched_file_changes_only_its_date(database: Path) -> None:
    path = Path("/card/a.wav")
    with Store(database) as store:
        listen(store, path, [make_event(100, 0.9)], "same")
        listen(store, path, [], "same", recording=make_recording(path, mtime_ns=77))
        known = store.known_recordings(make_run().run_id)["/card/a.wav"]
    assert (known.mtime_ns, known.chain_hash) == (77, "same")
    assert query(database, "SELECT count(*), sum(is_current) FROM recording") == [(1, 1)]


def test_the_newest_run_counts_and_an_older_one_can_count_again(database: Path) -> None:
    old, new = make_run(), make_run("b" * 64)
    path = Path("/card/a.wav")
    with Store(database) as store:
        listen(store, path, [make_event(100, 0.9)], "same", old)
        listen(store, path, [make_event(200, 0.9), make_event(300, 0.2)], "same", new)
    assert query(database, FOUND) == [("/card/a.wav", 2.0), ("/card/a.wav", 3.0)]
    assert counted(database) == 2
    with Store(database) as store:
        ready(store, old)
        known = store.known_recordings(old.run_id)["/card/a.wav"]
        assert known.chain_hash == "same"
        assert store.activate_finished(old.run_id, [known.recording_id]) == 1
        assert store.activate_finished(old.run_id, [known.recording_id]) == 0
    assert query(database, FOUND) == [("/card/a.wav", 1.0)]
    assert query(database, "SELECT count(*) FROM effort_in_force") == [(1,)]
    assert counted(database) == 1


def test_a_file_that_joins_another_replaces_the_analysis_of_the_other_alone(database: Path) -> None:
    with Store(database) as store:
        listen(store, Path("/card/a.wav"), [make_event(100, 0.9), make_event(5900, 0.9)], "a")
        deployment, source, run = ready(store)
        keys = [store.add_recording(deployment, make_recording(Path(f"/card/{name}.wav")), name) for name in ("a", "b")]
        segment = make_segment("ab", [(keys[0], 0), (keys[1], MINUTE)], source)
        assert not store.is_complete(run, segment.segment_id)
        store.begin_segment(run, segment)
        store.add_results(run, segment.segment_id, [make_event(100, 0.9), make_event(5900, 0.9, 200)], [analysed(2 * MINUTE)])
        store.complete_segment(run, segment.segment_id, 2 * MINUTE)
        store.finish_recordings(run, keys, "ab")
    assert query(database, "SELECT start_s, end_s FROM candidate ORDER BY 1") == [(1.0, 1.2), (59.0, 61.0)]
    assert query(database, "SELECT sum(duration_s) FROM effort_in_force") == [(120.0,)]
    assert counted(database) == 2


@pytest.mark.parametrize(("second", "counted_channels"), [(make_run(), ["1", "2"]), (make_run(settings='{"channel":2}'), ["2"])])
def test_channels_of_one_run_stand_side_by_side_but_another_choice_replaces(
    database: Path, second: RunInfo, counted_channels: list[str]
) -> None:
    with Store(database) as store:
        for run, channel in ((make_run(), "1"), (second, "2")):
            deployment, _, run_id = ready(store, run)
            source = store.ensure_source(deployment, "recordings", channel)
            key = store.add_recording(deployment, make_recording(Path("/card/a.wav")), "a")
            segment = make_segment("a", [(key, 0)], source, channel=channel)
            store.begin_segment(run_id, segment)
            store.add_results(run_id, segment.segment_id, [make_event(100, 0.9)], [analysed()])
            store.complete_segment(run_id, segment.segment_id, MINUTE)
    assert [channel for (channel,) in query(database, "SELECT channel FROM candidate ORDER BY 1")] == counted_channels


def test_a_segment_is_complete_only_when_its_recordings_are_finished(database: Path) -> None:
    """A file with a gap has several segments: after a crash between them the first must not stand for all."""
    with Store(database) as store:
        deployment, source, run = ready(store)
        key = store.add_recording(deployment, make_recording(Path("/card/a.wav")), "a")
        segment = make_segment("a", [(key, 0)], source)
        store.begin_segment(run, segment)
        store.complete_segment(run, segment.segment_id, 1000)
        assert not store.is_complete(run, segment.segment_id)
        store.flush()
        assert not store.is_complete(run, segment.segment_id)
        store.finish_recordings(run, [key], "a")
        assert store.is_complete(run, segment.segment_id)
        store.flush()
        assert store.is_complete(run, segment.segment_id)


def test_a_bad_file_is_in_the_ledger_until_it_is_good(database: Path) -> None:
    path = Path("/card/a.wav")
    lost = "SELECT recording, state, reason, duration_s FROM effort_in_force"
    with Store(database) as store:
        deployment = ready(store)[0]
        for _ in range(2):
            store.add_bad_recording(deployment, BadRecording(path, 0, 1, "the file is empty", "copy it again"))
        known = store.known_recordings(make_run().run_id)["/card/a.wav"]
        assert (known.audio_hash, known.size_bytes, known.mtime_ns) == (None, 0, 1)
        assert query(database, lost) == [("/card/a.wav", "lost", "the file is empty", None)]
        store.add_bad_recording(deployment, BadRecording(path, 12, 2, "the header is cut off"))
        store.flush()
        assert query(database, lost) == [("/card/a.wav", "lost", "the header is cut off", None)]
        listen(store, path, [make_event(100, 0.9)], "good", recording=make_recording(path, mtime_ns=3))
        store.flush()
        assert query(database, lost) == [("/card/a.wav", "analysed", "", 60.0)]
        store.add_bad_recording(deployment, BadRecording(path, 0, 4, "the file is empty"))
    assert query(database, lost) == [("/card/a.wav", "lost", "the file is empty", None)]
    assert counted(database) == 0


def test_a_good_file_that_cannot_be_read_now_keeps_what_was_found(database: Path) -> None:
    path = Path("/card/a.wav")
    header = make_recording(path)
    with Store(database) as store:
        listen(store, path, [make_event(100, 0.9)], "good", recording=header)
        store.add_bad_recording(ready(store)[0], BadRecording(path, header.size_bytes, header.mtime_ns, "unreadable"))
    assert query(database, FOUND) == [("/card/a.wav", 1.0)]
    assert query(database, "SELECT state, reason FROM effort_in_force ORDER BY state") == [("analysed", ""), ("lost", "unreadable")]
