"""Replay as its users see it: the same audio gives the same rows, stopping costs nothing, bad files stop nothing."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from detector.errors import AudioError
from detector.service.listener import Job, Listener, ListenerSpec, SegmentResult
from detector.service.replay import Progress, replay
from detector.types import EffortSpan, Event
from tests.service import scenes


def events_of(db: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(db) as connection:
        rows = connection.execute(scenes.CONTENT["event"] + " ORDER BY event_uuid").fetchall()
    connection.close()
    return rows


def bits(row: Event | EffortSpan) -> list[object]:
    """Every field of a row, arrays as bytes."""
    values = [getattr(row, field.name) for field in dataclasses.fields(row)]
    return [value.tobytes() if isinstance(value, np.ndarray) else value for value in values]


def one(db: Path, query: str) -> object:
    with sqlite3.connect(db) as connection:
        row = connection.execute(query).fetchone()
    connection.close()
    return row[0]


def test_a_file_in_gives_rows_out(tmp_path: Path) -> None:
    scenes.write(tmp_path / "a" / "20260401_050000.wav", scenes.samples())
    summary = scenes.run(tmp_path / "a", tmp_path / "x.db")
    assert summary.recordings_new == 1
    assert summary.recordings_bad == ()
    assert summary.events > 5
    assert summary.audio_s == pytest.approx(60.0)
    assert one(tmp_path / "x.db", "SELECT sum(n_samples) FROM effort WHERE state = 'analysed'") == 60 * scenes.RATE_HZ
    assert one(tmp_path / "x.db", "SELECT count(*) FROM event") == summary.events


def test_a_second_and_third_replay_change_no_byte_of_content(tmp_path: Path) -> None:
    for seed in (1, 2):
        scenes.write(tmp_path / "a" / f"take {seed} ääni.wav", scenes.samples(seed, 30.0))
    (tmp_path / "a" / "text.wav").write_text("this is no recording")
    first = scenes.run(tmp_path / "a", tmp_path / "x.db")
    before = scenes.content(tmp_path / "x.db", tmp_path)
    again = [scenes.run(tmp_path / "a", tmp_path / "x.db") for _ in range(2)]
    assert scenes.content(tmp_path / "x.db", tmp_path) == before
    assert [each.recordings_new for each in again] == [0, 0]
    assert [each.recordings_unchanged for each in again] == [3, 3]
    assert again[0].recordings_bad == again[1].recordings_bad == first.recordings_bad
    assert again[1].detections == first.detections


def test_one_worker_and_two_workers_give_the_same_database_row_for_row(tmp_path: Path) -> None:
    for seed, seconds in ((1, 60.0), (2, 30.0), (3, 30.0)):
        scenes.write(tmp_path / "a" / f"{seed}.wav", scenes.samples(seed, seconds))
    shutil.copy(tmp_path / "a" / "2.wav", tmp_path / "a" / "4 is 2 again.wav")
    (tmp_path / "a" / "empty.wav").touch()
    for n in (1, 2):
        scenes.run(tmp_path / "a", tmp_path / f"{n}.db", replay={"workers": n})
    assert scenes.content(tmp_path / "1.db", tmp_path) == scenes.content(tmp_path / "2.db", tmp_path)
    assert one(tmp_path / "1.db", "SELECT count(*) FROM recording WHERE duplicate_of IS NOT NULL") == 1
    assert one(tmp_path / "1.db", "SELECT sum(n_samples) FROM effort WHERE state = 'analysed'") == 120 * scenes.RATE_HZ


def test_gapless_pieces_give_the_events_of_the_whole_with_the_same_ids(tmp_path: Path) -> None:
    pcm = scenes.samples()
    scenes.write(tmp_path / "whole" / "20260401_050000.wav", pcm)
    for start, stop in ((0, 20), (20, 45), (45, 60)):
        stamp = f"20260401_0500{start:02d}"
        scenes.write(tmp_path / "pieces" / f"{stamp}.flac", pcm[start * scenes.RATE_HZ : stop * scenes.RATE_HZ])
    always = {"recordings": {"gapless": "always"}, "station": {"time_zone": "UTC"}}
    scenes.run(tmp_path / "whole", tmp_path / "whole.db", **always)
    scenes.run(tmp_path / "pieces", tmp_path / "pieces.db", **always)
    query = "SELECT event_uuid, start_frame, end_frame, start_ns, confidence, hex(embedding) FROM event ORDER BY event_uuid"
    with sqlite3.connect(tmp_path / "whole.db") as a, sqlite3.connect(tmp_path / "pieces.db") as b:
        whole, pieces = a.execute(query).fetchall(), b.execute(query).fetchall()
    a.close()
    b.close()
    assert len(whole) > 5
    assert pieces == whole


def test_a_piece_that_appears_later_re_analyses_the_seam(tmp_path: Path) -> None:
    pcm = scenes.samples()
    always = {"recordings": {"gapless": "always"}, "station": {"time_zone": "UTC"}}
    third = pcm[40 * scenes.RATE_HZ :]
    scenes.write(tmp_path / "a" / "20260401_050000.wav", pcm[: 20 * scenes.RATE_HZ])
    scenes.write(tmp_path / "a" / "20260401_050040.wav", third)
    scenes.run(tmp_path / "a", tmp_path / "late.db", **always)
    scenes.write(tmp_path / "a" / "20260401_050020.wav", pcm[20 * scenes.RATE_HZ : 40 * scenes.RATE_HZ])
    scenes.run(tmp_path / "a", tmp_path / "late.db", **always)
    scenes.run(tmp_path / "a", tmp_path / "once.db", **always)
    active = "SELECT event_uuid, start_ns FROM event JOIN analysis USING (analysis_id) WHERE is_active ORDER BY event_uuid"
    with sqlite3.connect(tmp_path / "late.db") as a, sqlite3.connect(tmp_path / "once.db") as b:
        assert a.execute(active).fetchall() == b.execute(active).fetchall()
        active_s = "SELECT sum(n_samples) FROM segment JOIN analysis USING (segment_id) WHERE is_active"
        assert a.execute(active_s).fetchone() == (60 * scenes.RATE_HZ,)
    a.close()
    b.close()


@hypothesis_settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(block=st.one_of(st.integers(500, 5000), st.integers(1, 60 * scenes.RATE_HZ)))
def test_any_block_size_gives_bit_equal_results(tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from detector.audio.archive import inspect_recording
    from detector.service import listener as module
    from detector.types import Recording

    path = tmp_path / "x.wav"
    if not path.exists():
        scenes.write(path, scenes.samples(1, 30.0))
    recording = inspect_recording(path, None, None)
    assert isinstance(recording, Recording)
    config = scenes.settings(tmp_path / "x.db")
    from detector.model.bundle import find_bundle

    spec = ListenerSpec(find_bundle("default", None), "onnx", "cpu", config.events)

    def hear(block_samples: int) -> list[tuple[object, ...]]:
        with monkeypatch.context() as patch:
            patch.setattr(module, "BLOCK_VALUES", block_samples)
            results = [r for r in Listener(spec).open(Job((recording,), 1)).listen() if isinstance(r, SegmentResult)]
        return [(r.first_sample, r.n_samples, [bits(event) for event in r.events], [bits(span) for span in r.effort]) for r in results]

    assert hear(block) == hear(module.BLOCK_VALUES)


def test_bad_files_are_named_with_reasons_and_stop_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    good = scenes.write(folder / "good.wav", scenes.samples(1, 30.0))
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("not audio")
    (folder / "cut.wav").write_bytes(good.read_bytes()[: 44 + 10 * scenes.RATE_HZ * 2])
    broken = np.zeros(5 * scenes.RATE_HZ, np.float32)
    broken[2 * scenes.RATE_HZ : 3 * scenes.RATE_HZ] = np.nan
    import soundfile

    soundfile.write(folder / "nan.wav", broken, scenes.RATE_HZ, subtype="FLOAT")
    scenes.write(folder / "nothing.wav", scenes.samples(1, 30.0)[:0])
    summary = scenes.run(folder, tmp_path / "x.db")
    reasons = {Path(path).name: reason for path, reason in summary.recordings_bad}
    assert set(reasons) == {"empty.wav", "text.wav", "cut.wav", "nan.wav", "nothing.wav"}
    assert "20 s lost at 10 s" in reasons["cut.wav"]
    assert "1 s lost at 2 s" in reasons["nan.wav"]
    db = tmp_path / "x.db"
    assert one(db, "SELECT sum(n_samples) FROM effort WHERE state = 'analysed'") == (30 + 10 + 4) * scenes.RATE_HZ
    assert one(db, "SELECT sum(n_samples) FROM effort WHERE state = 'lost'") == (20 + 1) * scenes.RATE_HZ
    assert one(db, "SELECT count(*) FROM effort WHERE state = 'lost' AND n_samples IS NULL") == 3
    assert summary.recordings_new == 3


def test_changed_content_counts_anew_and_the_old_no_longer(tmp_path: Path) -> None:
    path = scenes.write(tmp_path / "a" / "x.wav", scenes.samples(1, 30.0))
    scenes.run(tmp_path / "a", tmp_path / "x.db")
    scenes.write(path, scenes.samples(2, 45.0))
    os.utime(path, ns=(1, 1))
    summary = scenes.run(tmp_path / "a", tmp_path / "x.db")
    assert any("other content" in note for note in summary.notes)
    active = "SELECT sum(n_samples) FROM segment JOIN analysis USING (segment_id) WHERE is_active"
    assert one(tmp_path / "x.db", active) == 45 * scenes.RATE_HZ
    assert one(tmp_path / "x.db", "SELECT count(*) FROM analysis") == 2


def test_a_changed_setting_is_a_run_beside_the_old_one_and_going_back_recomputes_nothing(tmp_path: Path) -> None:
    scenes.write(tmp_path / "a" / "x.wav", scenes.samples(1, 30.0))
    db = tmp_path / "x.db"
    first = scenes.run(tmp_path / "a", db)
    second = scenes.run(tmp_path / "a", db, events={"floor": 0.3})
    assert second.run_id != first.run_id
    assert any("earlier run" in note for note in second.notes)
    assert one(db, "SELECT count(*) FROM analysis WHERE is_active") == 1
    back = scenes.run(tmp_path / "a", db)
    assert (back.run_id, back.recordings_new, back.recordings_unchanged) == (first.run_id, 0, 1)
    active = "SELECT run_uuid FROM run JOIN analysis USING (run_id) WHERE is_active"
    assert one(db, active) == first.run_id


def test_a_time_zone_that_is_set_later_stamps_what_is_stored_and_analyses_nothing(tmp_path: Path) -> None:
    scenes.write(tmp_path / "a" / "20260401_053000.wav", scenes.samples(1, 30.0))
    scenes.write(tmp_path / "a" / "later" / "20260401_063000.wav", scenes.samples(2, 30.0))
    scenes.run(tmp_path / "a", tmp_path / "late.db")
    assert one(tmp_path / "late.db", "SELECT count(start_ns) FROM event") == 0
    zone = {"station": {"time_zone": "+03:00"}}
    summary = scenes.run(tmp_path / "a", tmp_path / "late.db", **zone)
    assert (summary.recordings_new, summary.recordings_unchanged) == (0, 2)
    assert any("another start time" in note for note in summary.notes)
    scenes.run(tmp_path / "a", tmp_path / "once.db", **zone)
    assert scenes.content(tmp_path / "late.db", tmp_path) == scenes.content(tmp_path / "once.db", tmp_path)
    assert one(tmp_path / "late.db", "SELECT min(start_ns) FROM segment") == 1775010600 * 10**9
    again = scenes.run(tmp_path / "a", tmp_path / "late.db", **zone)
    assert not any("another start time" in note for note in again.notes)


def test_each_channel_is_its_own_source_and_mix_is_one(tmp_path: Path) -> None:
    pair = np.stack([scenes.samples(1, 30.0), scenes.samples(2, 30.0)], 1)
    scenes.write(tmp_path / "a" / "pair.wav", pair)
    scenes.run(tmp_path / "a", tmp_path / "each.db", recordings={"channel": "each"})
    assert one(tmp_path / "each.db", "SELECT group_concat(channel, ' ') FROM source") == "1 2"
    assert one(tmp_path / "each.db", "SELECT sum(n_samples) FROM effort WHERE state = 'analysed'") == 60 * scenes.RATE_HZ
    scenes.write(tmp_path / "b" / "first.wav", pair[:, 0])
    scenes.run(tmp_path / "b", tmp_path / "first.db")
    joined = "event JOIN analysis USING (analysis_id) JOIN segment USING (segment_id)"
    heard = f"SELECT start_frame, confidence FROM {joined} WHERE channel = '1' ORDER BY 1"
    with sqlite3.connect(tmp_path / "each.db") as a, sqlite3.connect(tmp_path / "first.db") as b:
        assert a.execute(heard).fetchall() == b.execute(heard).fetchall()
    a.close()
    b.close()
    third = scenes.run(tmp_path / "a", tmp_path / "third.db", recordings={"channel": 3})
    assert "channel 3" in third.recordings_bad[0][1]


def test_progress_ends_at_all_files_and_all_audio(tmp_path: Path) -> None:
    for seed in (1, 2):
        scenes.write(tmp_path / "a" / f"{seed}.wav", scenes.samples(seed, 30.0))
    told: list[Progress] = []
    replay([tmp_path / "a"], scenes.settings(tmp_path / "x.db"), on_progress=told.append)
    assert (told[-1].files_done, told[-1].files_total) == (2, 2)
    assert told[-1].audio_s_done == pytest.approx(told[-1].audio_s_total) == pytest.approx(60.0)


def test_a_path_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no recordings"):
        replay([tmp_path / "none*.wav"], scenes.settings(tmp_path / "x.db"))
