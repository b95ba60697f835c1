"""A measured process gives back its output, its time and the memory of all that it started."""

from __future__ import annotations

import pytest

from detector.service.bench.processes import ProcessError, run_python


def test_output_and_time_come_back() -> None:
    outcome = run_python(("-c", "import time; time.sleep(0.3); print('done')"))
    assert outcome.output == "done\n"
    assert 0.3 <= outcome.wall_s < 10


def test_the_memory_of_children_counts() -> None:
    hold = "b = bytearray(100_000_000); import time; time.sleep(0.6)"
    code = f"import subprocess, sys; p = [subprocess.Popen([sys.executable, '-c', {hold!r}]) for _ in range(2)]; [q.wait() for q in p]"
    outcome = run_python(("-c", code))
    assert outcome.peak_rss_mb is not None
    assert 195 < outcome.peak_rss_mb < 300


def test_the_thread_limit_reaches_the_process() -> None:
    outcome = run_python(("-c", "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['OPENBLAS_NUM_THREADS'])"), threads=1)
    assert outcome.output.split() == ["1", "1"]


def test_a_failing_process_says_its_last_words() -> None:
    with pytest.raises(ProcessError, match="ValueError: red deer"):
        run_python(("-c", "raise ValueError('red deer')"))
