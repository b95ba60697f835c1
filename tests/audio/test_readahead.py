"""Decoding ahead keeps order and errors, and always stops."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator

import pytest

from detector.audio.readahead import ReadAhead


def threads() -> int:
    return sum(thread.name == "read-ahead" for thread in threading.enumerate())


def wait_for_none() -> None:
    deadline = time.monotonic() + 5
    while threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threads() == 0


def test_items_come_in_order() -> None:
    assert list(ReadAhead(range(1000), depth=3)) == list(range(1000))
    assert list(ReadAhead([])) == []
    wait_for_none()


def test_it_stays_only_so_far_ahead() -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    with ReadAhead(source(), depth=4) as ahead:
        time.sleep(0.1)
        assert len(taken) <= 5
        assert next(iter(ahead)) == 0
    wait_for_none()
    assert len(taken) < 10


def test_an_error_is_raised_where_it_happened() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise KeyError("disk")

    ahead = iter(ReadAhead(source()))
    assert next(ahead) == 1
    with pytest.raises(KeyError, match="disk"):
        next(ahead)
    wait_for_none()


def test_leaving_early_stops_the_thread_and_closes_the_source() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    with ReadAhead(source()) as ahead:
        for _ in ahead:
            break
    assert closed.is_set()
    wait_for_none()


def test_forgetting_it_stops_the_thread() -> None:
    def forever() -> Iterator[int]:
        while True:
            yield 0

    for _ in ReadAhead(forever()):
        break
    gc.collect()
    wait_for_none()


def test_closing_it_twice_or_from_another_thread_does_no_harm() -> None:
    def slow() -> Iterator[int]:
        yield 1
        time.sleep(0.3)
        yield 2

    ahead = ReadAhead(slow())
    closer = threading.Timer(0.1, ahead.close)
    closer.start()
    assert list(ahead)[:1] == [1]
    closer.join()
    ahead.close()
    wait_for_none()
