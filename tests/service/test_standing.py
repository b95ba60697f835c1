"""What was found before stands or is tried again: failures, files that are gone, renamed or copied, workers that die."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from detector.errors import ConfigError, EngineError
from detector.service import pool
from detector.service.listener import Job, Listener, OpenChain, SegmentResult
from tests.service import scenes

ALWAYS: dict[str, dict[str, object]] = {"recordings": {"gapless": "always"}, "station": {"time_zone": "UTC"}}
SECONDS = 8

ACTIVE_S = f"""SELECT sum(effort.n_samples) / {scenes.RATE_HZ}.0 FROM effort WHERE state = 'analysed' AND EXISTS (
    SELECT 1 FROM analysis WHERE analysis.segment_id = effort.segment_id AND analysis.run_id = effort.run_id AND is_active)"""


def rows(db: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(db) as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


def cut(seed: int, seconds: float) -> npt.NDArray[np.int16]:
    """The beginning of a scene."""
    return scenes.samples(seed, 30.0)[: int(seconds * scenes.RATE_HZ)]


def floats(seconds: float) -> npt.NDArray[np.float32]:
    """The same as floating-point numbers, which may be none."""
    return np.divide(cut(1, seconds), 32768, dtype=np.float32)


def write_pieces(folder: Path, n: int = 3, first: int = 0) -> None:
    """Consecutive files of one unbroken stretch."""
    pcm = scenes.samples(1, 32.0)
    length = SECONDS * scenes.RATE_HZ
    for at in range(first, first + n):
        scenes.write(folder / f"20260401_0500{SECONDS * at:02d}.wav", pcm[at * length : (at + 1) * length])


def test_a_recording_that_failed_is_tried_again_though_the_file_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in (1, 2):
        scenes.write(tmp_path / "a" / f"{seed}.wav", cut(seed, 5.0))
    (tmp_path / "a" / "text.wav").write_text("not audio")
    real = Listener.open

    def failing(self: Listener, job: Job) -> OpenChain:
        if job.chain[0].path.name == "2.wav":
            raise OSError(5, "Input/output error")
        return real(self, job)

    with monkeypatch.context() as patch:
        patch.setattr(Listener, "open", failing)
        first = scenes.run(tmp_path / "a", tmp_path / "x.db")
    assert [Path(path).name for path, _ in first.recordings_bad] == ["2.wav", "text.wav"]
    second = scenes.run(tmp_path / "a", tmp_path / "x.db")
    assert [Path(path).name for path, _ in second.recordings_bad] == ["text.wav"]
    assert (second.recordings_new, second.audio_s) == (1, 5.0)
    third = scenes.run(tmp_path / "a", tmp_path / "x.db")
    assert (third.recordings_new, third.recordings_unchanged) == (0, 3)


def test_a_floor_that_does_not_fit_the_bundle_is_an_error_and_no_recording_is_called_bad(tmp_path: Path) -> None:
    scenes.write(tmp_path / "a" / "x.wav", cut(1, 5.0))
    with pytest.raises(ConfigError, match="floor"):
        scenes.run(tmp_path / "a", tmp_path / "x.db", events={"floor": 1e-6})
    assert not (tmp_path / "x.db").exists()


def test_a_channel_that_failed_stays_in_the_ledger_until_it_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes.write(tmp_path / "a" / "pair.wav", np.stack([cut(1, 5.0), cut(2, 5.0)], 1))
    real = Listener.open

    def failing(self: Listener, job: Job) -> OpenChain:
        if job.channel == 1:
            raise OSError(5, "Input/output error")
        return real(self, job)

    each: dict[str, dict[str, object]] = {"recordings": {"channel": "each"}}
    with monkeypatch.context() as patch:
        patch.setattr(Listener, "open", failing)
        assert len(scenes.run(tmp_path / "a", tmp_path / "x.db", **each).recordings_bad) == 1
    lost = "SELECT count(*) FROM effort_in_force WHERE state = 'lost'"
    assert rows(tmp_path / "x.db", lost) == [(1,)]
    assert scenes.run(tmp_path / "a", tmp_path / "x.db", **each).recordings_bad == ()
    assert rows(tmp_path / "x.db", lost) == [(0,)]
    assert rows(tmp_path / "x.db", ACTIVE_S) == [(10.0,)]


def test_a_copied_chain_is_known_the_second_time(tmp_path: Path) -> None:
    write_pieces(tmp_path / "a" / "one")
    write_pieces(tmp_path / "a" / "two")
    scenes.run(tmp_path / "a", tmp_path / "x.db", **ALWAYS)
    again = scenes.run(tmp_path / "a", tmp_path / "x.db", **ALWAYS)
    assert (again.recordings_new, again.recordings_unchanged) == (0, 6)
    assert rows(tmp_path / "x.db", ACTIVE_S) == [(3.0 * SECONDS,)]


def test_what_was_heard_in_files_that_are_gone_or_not_asked_for_still_counts(tmp_path: Path) -> None:
    write_pieces(tmp_path / "a")
    scenes.run(tmp_path / "a", tmp_path / "x.db", **ALWAYS)
    candidates = rows(tmp_path / "x.db", "SELECT event_uuid FROM candidate ORDER BY 1")
    one = scenes.run(tmp_path / "a" / "20260401_050008.wav", tmp_path / "x.db", **ALWAYS)
    assert (one.recordings_new, one.recordings_unchanged) == (0, 1)
    (tmp_path / "a" / "20260401_050000.wav").unlink()
    assert scenes.run(tmp_path / "a", tmp_path / "x.db", **ALWAYS).recordings_new == 0
    assert rows(tmp_path / "x.db", "SELECT event_uuid FROM candidate ORDER BY 1") == candidates
    write_pieces(tmp_path / "a", n=1, first=3)
    assert scenes.run(tmp_path / "a", tmp_path / "x.db", **ALWAYS).recordings_new == 1
    assert rows(tmp_path / "x.db", ACTIVE_S) == [(4.0 * SECONDS,)]
    assert scenes.run(tmp_path / "a", tmp_path / "x.db", **ALWAYS).recordings_new == 0


def test_a_file_that_is_renamed_to_set_its_time_right_moves_its_events(tmp_path: Path) -> None:
    utc: dict[str, dict[str, object]] = {"station": {"time_zone": "UTC"}}
    path = scenes.write(tmp_path / "a" / "20260401_050000.wav", cut(1, 8.0))
    scenes.run(tmp_path / "a", tmp_path / "x.db", **utc)
    path.rename(tmp_path / "a" / "20260402_060000.wav")
    assert scenes.run(tmp_path / "a", tmp_path / "x.db", **utc).audio_s == 0
    scenes.run(tmp_path / "a", tmp_path / "once.db", **utc)
    for query in ("SELECT start_ns, end_ns, day FROM event", "SELECT start_ns FROM effort", "SELECT day, n_candidates FROM rollup"):
        assert rows(tmp_path / "x.db", query) == rows(tmp_path / "once.db", query)


def test_a_segment_names_only_the_recordings_that_it_reaches(tmp_path: Path) -> None:
    pcm = floats(24.0)
    length = SECONDS * scenes.RATE_HZ
    pcm[length // 2 : length // 2 + scenes.RATE_HZ] = np.nan
    for at in range(3):
        path = tmp_path / "a" / f"20260401_0500{SECONDS * at:02d}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, pcm[at * length : (at + 1) * length], scenes.RATE_HZ, subtype="FLOAT")
    scenes.run(tmp_path / "a", tmp_path / "x.db", **ALWAYS)
    parts = "SELECT first_sample, count(*) FROM segment JOIN segment_recording USING (segment_id) GROUP BY first_sample ORDER BY 1"
    assert rows(tmp_path / "x.db", parts) == [(0, 1), (length // 2 + scenes.RATE_HZ, 3)]


def test_a_name_in_other_bytes_is_told_the_same_way_each_time(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with open(os.fsencode(tmp_path / "a") + b"/\xe4\xe4ni.wav", "wb") as stream:
        stream.write(b"no audio")
    first = scenes.run(tmp_path / "a", tmp_path / "x.db")
    assert first.recordings_bad[0][0].endswith("\\xe4\\xe4ni.wav")
    assert scenes.run(tmp_path / "a", tmp_path / "x.db").recordings_bad == first.recordings_bad


def test_another_station_for_known_recordings_is_mentioned(tmp_path: Path) -> None:
    scenes.write(tmp_path / "a" / "x.wav", cut(1, 5.0))
    scenes.run(tmp_path / "a", tmp_path / "x.db")
    notes = scenes.run(tmp_path / "a", tmp_path / "x.db", station={"name": "oak"}).notes
    assert any("stay under station 'station', deployment 'deployment', their first place: 1" in note for note in notes)


def test_a_worker_that_dies_in_the_middle_counts_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pcm = floats(12.0)
    pcm[5 * scenes.RATE_HZ : 6 * scenes.RATE_HZ] = np.nan
    scenes.write(tmp_path / "a" / "b.wav", cut(2, 5.0))
    soundfile.write(tmp_path / "a" / "a.wav", pcm, scenes.RATE_HZ, subtype="FLOAT")
    killed: list[int] = []
    real = pool._Worker.receive

    def receive(self: pool._Worker) -> object:
        message = real(self)
        if isinstance(message, SegmentResult) and not killed:
            killed.append(1)
            self._process.kill()
            self._process.join()
        return message

    monkeypatch.setattr(pool._Worker, "receive", receive)
    summary = scenes.run(tmp_path / "a", tmp_path / "x.db", replay={"workers": 2})
    assert killed
    assert summary.audio_s == 16.0
    assert summary.events == rows(tmp_path / "x.db", "SELECT count(*) FROM event")[0][0]
    assert len(summary.recordings_bad) == 1


def test_a_script_without_a_main_guard_is_told_so_and_no_recording_is_called_bad(tmp_path: Path) -> None:
    for seed in (1, 2):
        scenes.write(tmp_path / "a" / f"{seed}.wav", cut(seed, 5.0))
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom detector.config import Settings\nfrom detector.service.replay import replay\n"
        "replay([sys.argv[1]], Settings.model_validate({'store': {'path': sys.argv[2]}, 'replay': {'workers': 2}}))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(script), str(tmp_path / "a"), str(tmp_path / "x.db")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert EngineError.__name__ in done.stderr
    assert "__main__" in done.stderr.strip().splitlines()[-1]
    assert rows(tmp_path / "x.db", "SELECT count(*) FROM recording") == [(0,)]


def test_a_lone_copy_of_one_piece_of_a_stretch_counts_once(tmp_path: Path) -> None:
    write_pieces(tmp_path / "a" / "card")
    write_pieces(tmp_path / "a" / "copies", n=1, first=1)
    scenes.run(tmp_path / "a", tmp_path / "x.db", **ALWAYS)
    assert rows(tmp_path / "x.db", ACTIVE_S) == [(3.0 * SECONDS,)]
