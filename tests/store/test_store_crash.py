"""Killed at any moment, out of disk, or with company: nothing committed is lost, and what is done again comes out the same."""

from __future__ import annotations

import multiprocessing
import random
import sqlite3
import time
import warnings
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest

from detector.errors import StoreError
from detector.store import store as module
from detector.store.check import check_database
from detector.store.reader import open_reader
from detector.store.store import Store
from tests.store.canonical import canonical
from tests.store.scenes import listen, make_event, make_run

FILES = 60
EVENTS = 12
FORK = multiprocessing.get_context("fork")


def write_all(path: Path, prefix: str, n_files: int, done: Connection | None = None) -> None:
    """Work through made-up files like a replay that may have been interrupted; tell ``done`` which are on disk."""
    with Store(path) as store:
        known = store.known_recordings(make_run().run_id)
        for number in range(n_files):
            name = Path(f"/card/{prefix}{number:03d}.wav")
            if str(name) not in known or known[str(name)].chain_hash is None:
                events = [make_event(100 * i, 0.1 + 0.07 * ((i + number) % EVENTS)) for i in range(EVENTS)]
                listen(store, name, events, f"{prefix}{number}", station=prefix)
                if done is not None:
                    store.flush()
            if done is not None:
                done.send(number)


def write_in_small_steps(path: Path, prefix: str, n_files: int, done: Connection) -> None:
    """Body of a process: commits as often as it can, so that a kill may fall between any two."""
    module.ROWS_PER_STEP = 5
    module.TRANSACTION_S = 0.0
    write_all(path, prefix, n_files, done)


def start(path: Path, prefix: str, n_files: int = FILES) -> tuple[ForkProcess, Connection]:
    heard, done = FORK.Pipe(duplex=False)
    process = FORK.Process(target=write_in_small_steps, args=(path, prefix, n_files, done))
    with warnings.catch_warnings():
        # Newer Pythons warn of forks beside threads; the child uses none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    done.close()
    return process, heard


def drain(heard: Connection) -> int:
    """The last file that a killed process has told of, or -1."""
    last = -1
    with suppress(EOFError):
        while True:
            last = heard.recv()
    heard.close()
    return last


def test_killed_twenty_times_the_database_equals_that_of_an_undisturbed_run(tmp_path: Path) -> None:
    whole, torn = tmp_path / "whole.db", tmp_path / "torn.db"
    write_all(whole, "a", FILES)
    chance = random.Random(1)
    on_disk = 0
    for _ in range(20):
        process, heard = start(torn, "a")
        for _ in range(on_disk + chance.randrange(1, 4)):
            heard.recv()
        time.sleep(chance.uniform(0, 0.01))
        process.kill()
        process.join()
        told = drain(heard) + 1
        with open_reader(torn) as db:
            assert db.execute("PRAGMA quick_check").fetchone() == ("ok",)
            (on_disk,) = db.execute("SELECT count(*) FROM run_recording").fetchone()
            assert on_disk >= told
            assert db.execute("SELECT DISTINCT count(*) FROM candidate GROUP BY recording").fetchall() == [(EVENTS,)]
    assert on_disk < FILES, "all kills fell into the work"
    write_all(torn, "a", FILES)
    assert canonical(torn) == canonical(whole)


def test_two_processes_write_one_database_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    started = [start(path, prefix, 30) for prefix in ("a", "b")]
    for process, heard in started:
        assert drain(heard) == 29
        process.join()
        assert process.exitcode == 0
    with open_reader(path) as db:
        counts = "SELECT station, count(*), count(DISTINCT recording) FROM candidate GROUP BY station"
        assert db.execute(counts).fetchall() == [("a", 30 * EVENTS, 30), ("b", 30 * EVENTS, 30)]
    assert "60 recordings" in check_database(path)


def test_a_full_disk_is_an_error_and_nothing_is_lost(tmp_path: Path) -> None:
    path, whole = tmp_path / "x.db", tmp_path / "whole.db"
    write_all(path, "a", 3)
    before = canonical(path)
    store = Store(path)
    pages = sqlite3.connect(path).execute("PRAGMA page_count").fetchone()[0]
    store._writer.db.execute(f"PRAGMA max_page_count = {pages + 2}")
    events = [make_event(30 * i, 0.5) for i in range(190)]
    listen(store, Path("/card/big.wav"), events, "big", station="a")
    for _ in range(2):
        with pytest.raises(StoreError, match="full") as trouble:
            store.flush()
        assert "free some space" in trouble.value.hint
        assert canonical(path) == before
    store._writer.db.execute("PRAGMA max_page_count = 1000000")
    store.close()
    write_all(whole, "a", 3)
    with Store(whole) as undisturbed:
        listen(undisturbed, Path("/card/big.wav"), events, "big", station="a")
    assert canonical(path) == canonical(whole)


def test_a_store_that_cannot_commit_on_leaving_says_so_and_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    write_all(path, "a", 1)
    store = Store(path)
    store._writer.db.execute("PRAGMA max_page_count = 1")
    listen(store, Path("/card/big.wav"), [make_event(30 * i, 0.5) for i in range(190)], "big", station="a")
    with pytest.raises(StoreError, match="full"):
        store.close()
    write_all(path, "a", 2)
    assert "2 recordings" in check_database(path)


def test_commits_are_at_most_one_a_second(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        listen(store, Path("/card/0.wav"), [make_event(0, 0.9)], "0")
        store.flush()
        for number in range(1, 20):
            listen(store, Path(f"/card/{number}.wav"), [make_event(0, 0.9)], str(number))
        with open_reader(tmp_path / "x.db") as db:
            assert db.execute("SELECT count(*) FROM candidate").fetchone() == (1,)
        store._committed_at -= 1.0
        store.tick()
        with open_reader(tmp_path / "x.db") as db:
            assert db.execute("SELECT count(*) FROM candidate").fetchone() == (20,)


def test_a_reader_sees_whole_transactions_while_another_writes(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    write_all(path, "a", 1)
    with open_reader(path) as db:
        db.execute("BEGIN")
        assert db.execute("SELECT count(*) FROM candidate").fetchone() == (EVENTS,)
        write_all(path, "a", 5)
        assert db.execute("SELECT count(*) FROM candidate").fetchone() == (EVENTS,)
        db.execute("COMMIT")
        assert db.execute("SELECT count(*) FROM candidate").fetchone() == (5 * EVENTS,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            db.conn.execute("DELETE FROM event")


def test_a_ledger_with_a_hole_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    write_all(path, "a", 2)
    assert "2 recordings" in check_database(path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE effort SET n_samples = n_samples - 1 WHERE effort_id = 2")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="does not add up"):
        check_database(path)
