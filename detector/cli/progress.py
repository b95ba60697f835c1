"""How far a replay is: a bar on a terminal, a line every half minute elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

import click

if TYPE_CHECKING:
    from detector.service.replay import Progress

LOG_EVERY_S = 30.0


class Reporter(AbstractContextManager["Reporter"], Protocol):
    """Shows progress for as long as it is entered."""

    def __call__(self, progress: Progress) -> None:
        """Show the newest state."""


def hours(seconds: float) -> str:
    """Audio time for people: "38 s", "12 min" or "7.4 h"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def times_real_time(audio_s: float, elapsed_s: float) -> str:
    """Speed as "240x"; a dash before there is one."""
    return f"{audio_s / elapsed_s:.0f}x" if elapsed_s > 0 and audio_s > 0 else "-"


def remaining_s(progress: Progress) -> float | None:
    """Wall seconds left at the speed so far; None before there is a speed."""
    if progress.audio_s_done <= 0:
        return None
    left: float = max(progress.audio_s_total - progress.audio_s_done, 0.0)
    return left * progress.elapsed_s / progress.audio_s_done


def line(progress: Progress) -> str:
    """One line for a log: files, audio, speed and time left."""
    left = remaining_s(progress)
    return (
        f"{progress.files_done}/{progress.files_total} files, "
        f"{hours(progress.audio_s_done)} of {hours(progress.audio_s_total)} of audio, "
        f"{times_real_time(progress.audio_s_done, progress.elapsed_s)} real time, "
        f"{'unknown time' if left is None else hours(left)} left"
    )


class LogReporter:
    """Plain lines on stderr, for logs, pipes and cron."""

    def __init__(self) -> None:
        self._next = time.monotonic() + LOG_EVERY_S

    def __enter__(self) -> LogReporter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def __call__(self, progress: Progress) -> None:
        """Print a line when half a minute has passed since the last."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + LOG_EVERY_S
            click.echo(line(progress), err=True)


class SilentReporter(LogReporter):
    """Nothing at all, for --quiet and --json."""

    def __call__(self, progress: Progress) -> None:
        """Say nothing."""


class BarReporter:
    """A bar with files, audio hours, times real time and the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("{task.fields[files]}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[speed]}"))
        self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("replay", total=None, files="looking at files", speed="")

    def __enter__(self) -> BarReporter:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        """Move the bar."""
        left = remaining_s(progress)
        speed = times_real_time(progress.audio_s_done, progress.elapsed_s)
        self._bar.update(
            self._task,
            total=progress.audio_s_total,
            completed=progress.audio_s_done,
            files=f"{progress.files_done}/{progress.files_total} files",
            speed=f"{hours(progress.audio_s_done)} of {hours(progress.audio_s_total)}, {speed} real time, "
            f"{'?' if left is None else hours(left)} left",
        )


def reporter(quiet: bool) -> Reporter:
    """The reporter that fits where stderr goes."""
    if quiet:
        return SilentReporter()
    return BarReporter() if sys.stderr.isatty() else LogReporter()
