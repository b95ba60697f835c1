"""Run a program in its own process and see how long it took and how much memory its whole tree held."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.errors import DetectorError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
SAMPLE_EVERY_S = 0.05
MEGABYTE = 1024**2


class ProcessError(DetectorError):
    """A program that was started to be measured failed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished process left.

    Attributes
    ----------
    output : str
        Its standard output.
    wall_s : float
        From start to end, start-up included.
    peak_rss_mb : float or None
        Highest sum of resident memory over the process and its descendants, sampled, shared pages counted in each; None without /proc.
    """

    output: str
    wall_s: float
    peak_rss_mb: float | None


def run_python(arguments: Sequence[str], threads: int | None = None, one_core: bool = False, timeout_s: float = 3600.0) -> Outcome:
    """Run this Python with some arguments in a fresh process.

    Parameters
    ----------
    arguments : sequence of str
        Such as ("-m", "detector.cli.main", "--help").
    threads : int, optional
        Limit of the numeric libraries' own threads; theirs to choose when not given.
    one_core : bool
        Hold the process and all that it starts to the last core that may be used (Linux; elsewhere without effect).
    timeout_s : float

    Raises
    ------
    ProcessError
        If it fails or takes too long; with what it wrote last.
    """
    environment = {key: value for key, value in os.environ.items() if key not in THREAD_VARIABLES}
    if threads is not None:
        environment.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], stdout=output, stderr=errors, env=environment)
        if one_core and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
        with _MemoryWatch(process.pid) as memory:
            try:
                code = process.wait(timeout_s)
            except BaseException:
                process.kill()
                process.wait()
                raise
        wall_s = time.perf_counter() - started
        output.seek(0)
        errors.seek(0)
        if code != 0:
            last = errors.read().decode(errors="replace").strip().splitlines()[-3:]
            raise ProcessError(f"python {' '.join(arguments)} ended with {code}: {' / '.join(last)}", "run it by hand to see more")
        return Outcome(output.read().decode(), wall_s, memory.peak_mb)


class _MemoryWatch:
    """Samples the memory of a process tree until it is left."""

    def __init__(self, pid: int) -> None:
        self.peak_mb: float | None = None
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_EVERY_S):
            total = sum(_resident_bytes(pid) for pid in _tree(self._pid))
            if total > 0:
                self.peak_mb = max(self.peak_mb if self.peak_mb is not None else 0.0, total / MEGABYTE)


def _tree(pid: int) -> set[int]:
    """A process and all that it started, directly or not."""
    parents = {int(stat.parent.name): _parent(stat) for stat in Path("/proc").glob("[0-9]*/stat")}
    tree = {pid}
    while grown := {child for child, parent in parents.items() if parent in tree} - tree:
        tree |= grown
    return tree


def _parent(stat: Path) -> int:
    """The parent that a /proc/<pid>/stat names; 0 when the process has ended."""
    try:
        # The name in brackets may hold anything; the parent is the second field after it.
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _resident_bytes(pid: int) -> int:
    """Resident memory of one process; 0 when it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
