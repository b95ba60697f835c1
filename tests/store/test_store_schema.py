"""The database file: made, brought up to date, refused when it is not ours."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas
import pytest
from sqlite_utils import Database

from detector.errors import StoreError
from detector.store import place, tables, views
from detector.store.database import APPLICATION_ID, Writer
from detector.store.place import file_system, is_network
from detector.store.reader import open_reader
from detector.store.schema import STEPS, migrate
from detector.store.store import Store
from tests.store.scenes import listen, make_event


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "äänet & calls.db"
    with Store(path) as store:
        listen(store, Path("/card/one.wav"), [make_event(10, 0.9), make_event(100, 0.3)], "one")
    return path


def test_every_table_is_strict_and_every_table_and_view_says_what_it_holds(database: Path) -> None:
    with open_reader(database) as db:
        strict = {name: strict for _, name, kind, _, _, strict in db.execute("PRAGMA table_list") if kind == "table"}
        assert all(strict[name] for name in tables.MEANING)
        meanings = dict(db.execute("SELECT name, meaning FROM about").fetchall())
        ours = {name for name in (*db.table_names(), *db.view_names()) if not name.startswith("_")}
    assert set(meanings) == ours == {*tables.MEANING, *views.VIEWS}


def test_settings_of_the_writer_keep_what_was_committed(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "x.db")
    names = ("journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint")
    values = {name: writer.db.execute(f"PRAGMA {name}").fetchone()[0] for name in names}
    writer.close()
    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "wal_autocheckpoint": 0}


def test_foreign_keys_hold(database: Path) -> None:
    with open_reader(database) as db:
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []


def test_a_migration_keeps_the_data_and_is_recorded(database: Path) -> None:
    def add_review(db: Database) -> None:
        db.conn.execute("CREATE TABLE review (event_uuid TEXT NOT NULL, verdict TEXT NOT NULL) STRICT")
        db.conn.execute("INSERT INTO about VALUES ('review', 'What people say.')")
        db.conn.execute("ALTER TABLE event ADD COLUMN note TEXT")

    steps = {**STEPS, "0002 review": add_review}
    writer = Writer(database)
    migrate(writer, steps)
    assert [row["name"] for row in writer.db["_sqlite_migrations"].rows] == list(steps)
    assert writer.db.execute("SELECT count(*) FROM event WHERE note IS NULL").fetchone() == (2,)
    assert writer.db.execute("SELECT count(*) FROM detection").fetchone() == (1,)
    writer.close()


def test_a_migration_that_fails_leaves_no_trace(database: Path) -> None:
    def half(db: Database) -> None:
        db.conn.execute("CREATE TABLE review (verdict TEXT) STRICT")
        db.conn.execute("INSERT INTO nowhere VALUES (1)")

    writer = Writer(database)
    with pytest.raises(StoreError, match="nowhere"):
        migrate(writer, {**STEPS, "0002 review": half})
    writer.close()
    with open_reader(database) as db:
        assert "review" not in db.table_names()
        assert "detection" in db.view_names()


def test_a_database_newer_than_the_program_is_refused_and_left_alone(database: Path) -> None:
    writer = Writer(database)
    migrate(writer, {**STEPS, "0002 of the future": lambda db: None})
    writer.close()
    before = database.read_bytes()
    for attempt in (lambda: Store(database), lambda: open_reader(database).__enter__()):
        with pytest.raises(StoreError) as refusal:
            attempt()
        assert "0002 of the future" in refusal.value.message
        assert "update the program" in refusal.value.hint
    assert database.read_bytes() == before


def test_a_reader_asks_for_a_writer_when_the_database_is_old(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("CREATE TABLE something (a)")
    connection.close()
    with pytest.raises(StoreError, match="older version"), open_reader(path):
        pass


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"RIFF1234WAVEfmt ", "not a SQLite file"), (b"SQLite format 3\x00" + bytes(4000), r"not a database|malformed|another")],
)
def test_what_is_not_a_database_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(content)
    for attempt in (lambda: Store(path), lambda: open_reader(path).__enter__()):
        with pytest.raises(StoreError, match=message) as refusal:
            attempt()
        assert refusal.value.hint
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE photo (name TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        Store(path)
    assert path.read_bytes() == before


def test_a_damaged_database_is_an_error_with_a_hint(database: Path) -> None:
    content = bytearray(database.read_bytes())
    content[4096 : len(content)] = b"\xa5" * (len(content) - 4096)
    database.write_bytes(content)
    with pytest.raises(StoreError) as trouble, open_reader(database) as db:
        db.execute("SELECT count(*) FROM candidate").fetchone()
    assert "replayed again" in trouble.value.hint


@pytest.mark.parametrize("name", ["folder", "missing/x.db"])
def test_a_place_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError):
        Store(tmp_path / name)
    with pytest.raises(StoreError):
        open_reader(tmp_path / name).__enter__()


def test_a_network_drive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nnas:/x {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(place, "MOUNTS", mounts)
    with pytest.raises(StoreError, match=r"network drive .nfs4.") as refusal:
        Store(tmp_path / "x.db")
    assert "disk of this machine" in refusal.value.hint


def test_the_file_system_is_that_of_the_deepest_mount() -> None:
    mounts = "/dev/sda / ext4 rw 0 0\nnas:/x /data\\040set cifs rw 0 0\n/dev/sdb /data\\040set/local btrfs rw 0 0\nhalf a line\n"
    assert file_system(Path("/data set/x.db"), mounts) == "cifs"
    assert file_system(Path("/data set/local/x.db"), mounts) == "btrfs"
    assert file_system(Path("/data settle/x.db"), mounts) == "ext4"
    assert all(is_network(kind) for kind in ("cifs", "nfs", "fuse.sshfs", "fuse.rclone"))
    assert not any(is_network(kind) for kind in ("ext4", "fuse.ntfs-3g", "overlay", "tmpfs", ""))


READ = """
import os, sys
from pathlib import Path
from detector.errors import StoreError
from detector.store.reader import open_reader
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    with open_reader(Path(sys.argv[1])) as db:
        print(db.execute("SELECT count(*) FROM candidate").fetchone()[0])
except StoreError as error:
    print(error)
"""


def test_a_database_where_nothing_can_be_written_can_be_read_or_says_why(database: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        copy = folder / "x.db"
        copy.write_bytes(database.read_bytes())

        def read() -> str:
            os.chmod(folder, 0o555)
            done = subprocess.run([sys.executable, "-c", READ, str(copy)], capture_output=True, text=True, timeout=60)
            os.chmod(folder, 0o755)
            return done.stdout.strip() + done.stderr.strip()

        assert read() == "2"
        (folder / "x.db-wal").write_bytes(b"newest rows")
        assert re.search(r"newest rows are still in x.db-wal.*copy both files", read())


def test_it_opens_in_pandas(database: Path) -> None:
    connection = sqlite3.connect(database)
    frame = pandas.read_sql("SELECT * FROM detection", connection, parse_dates=["start_utc"])
    connection.close()
    assert list(frame["start_utc"]) == [pandas.Timestamp("2026-04-01T05:00:00.1Z")]
    assert frame.loc[0, "recording"] == "/card/one.wav"
