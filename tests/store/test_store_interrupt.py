"""Ctrl-C in the worst moment: when COMMIT has done its work and has not yet said so."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.store.store import Store
from tests.store.canonical import canonical
from tests.store.scenes import listen, make_event


class InterruptedConnection:
    """The real connection; SIGINT arrives while its first COMMIT with events returns."""

    def __init__(self, connection: object) -> None:
        self._connection = connection
        self._due = True

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def execute(self, statement: str, *given: object) -> object:
        result = self._connection.execute(statement, *given)  # type: ignore[attr-defined]
        if statement == "COMMIT" and self._due:
            (events,) = self._connection.execute("SELECT count(*) FROM event").fetchone()  # type: ignore[attr-defined]
            if events:
                self._due = False
                raise KeyboardInterrupt
        return result


def write(path: Path, interrupt: bool) -> None:
    with Store(path) as store:
        if interrupt:
            store._writer.db.conn = InterruptedConnection(store._writer.db.conn)  # type: ignore[assignment]
        listen(store, Path("/card/a.wav"), [make_event(100, 0.5), make_event(300, 0.7)], "a")
        store.flush()


def test_what_is_on_disk_is_not_written_again(tmp_path: Path) -> None:
    write(tmp_path / "calm.db", interrupt=False)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "stopped.db", interrupt=True)
    assert canonical(tmp_path / "stopped.db") == canonical(tmp_path / "calm.db")
