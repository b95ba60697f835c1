"""Decode ahead of the analysis in a thread."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")
_PATIENCE_S = 0.1


class _End:
    pass


class ReadAhead(Generic[T]):
    """Runs an iterable in a thread, at most ``depth`` items ahead. Iterate it once.

    Leaving the ``with`` block, `close`, or forgetting the object stops the thread; an error of the iterable is raised
    where it would have been without the thread.

    Parameters
    ----------
    items : iterable
    depth : int
        Most items that wait.
    """

    def __init__(self, items: Iterable[T], depth: int = 4) -> None:
        self._queue: queue.Queue[T | BaseException | _End] = queue.Queue(max(1, depth))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=_pump, args=(iter(items), self._queue, self._stop), name="read-ahead", daemon=True)
        self._finalizer = weakref.finalize(self, self._stop.set)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        while not self._stop.is_set():
            item = self._queue.get()
            if isinstance(item, _End):
                break
            if isinstance(item, BaseException):
                self.close()
                raise item
            yield item
        self.close()

    def __enter__(self) -> ReadAhead[T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop the thread and wait for it."""
        self._finalizer()
        self._thread.join()
        with suppress(queue.Full):
            self._queue.put_nowait(_End())  # wakes a reader that waits in another thread


def _pump(items: Iterator[T], out: queue.Queue[T | BaseException | _End], stop: threading.Event) -> None:
    try:
        for item in items:
            if not _put(item, out, stop):
                break
        else:
            _put(_End(), out, stop)
    except BaseException as error:  # whatever it is belongs to the reader
        _put(error, out, stop)
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()


def _put(item: T | BaseException | _End, out: queue.Queue[T | BaseException | _End], stop: threading.Event) -> bool:
    while not stop.is_set():
        try:
            out.put(item, timeout=_PATIENCE_S)
        except queue.Full:
            continue
        return True
    return False
