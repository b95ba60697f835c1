"""The lock file that every writing process holds while it writes, checkpoints or closes."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from detector.errors import StoreError

PATIENCE_S = 30.0
_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.005


class LockFile:
    """An advisory lock on a file of its own; the kernel frees it when the process dies.

    Parameters
    ----------
    path : Path
        Made when absent, and left in place: removing it would let two processes hold two different locks.

    Attributes
    ----------
    longest_hold_s : float
        The longest time that it was held so far.

    Raises
    ------
    StoreError
        If the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.longest_hold_s = 0.0
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise StoreError(f"cannot make the lock file {path}: {error.strerror}", "put the database where this user may write") from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock.

        Raises
        ------
        StoreError
            If another process keeps it for half a minute.
        """
        self._acquire()
        since = time.monotonic()
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self.longest_hold_s = max(self.longest_hold_s, time.monotonic() - since)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._descriptor)

    def _acquire(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        pause = _FIRST_PAUSE_S
        while not self._try():
            if time.monotonic() > deadline:
                raise StoreError(f"another process has held {self.path} for {PATIENCE_S:.0f} s", f"see which one: fuser -v {self.path}")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _try(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
