"""Chains spread over processes, their messages handed back in a form the parent can put in order."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeAlias

from detector.errors import DetectorError, EngineError
from detector.service.listener import ChainHash, Heard, Job, Listener, ListenerSpec, SegmentResult


@dataclass(frozen=True, slots=True)
class Failed:
    """The chain could not be analysed; what was heard before the failure is not used."""

    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class Done:
    """The chain is finished; ``skipped`` when its audio had been analysed under another name."""

    skipped: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """The process has what it needs and waits for work."""


Message: TypeAlias = ChainHash | Heard | SegmentResult | Failed | Done
Decide: TypeAlias = Callable[[int, str], bool]
"""(index of the job, hash of its audio) -> analyse it?"""


def messages(listener: Listener, job: Job, decide: Callable[[str], bool]) -> Iterator[Message]:
    """Everything that one chain gives, failures included.

    Raises
    ------
    EngineError
        When the engine itself fails: that would fail every other chain too.
    """
    try:
        opened = listener.open(job)
        yield opened.identity
        if not decide(opened.identity.audio_hash):
            yield Done(skipped=True)
            return
        yield from opened.listen()
    except EngineError:
        raise
    except DetectorError as error:
        yield Failed(error.message, error.hint)
        return
    except (OSError, MemoryError) as error:
        yield Failed(f"{type(error).__name__}: {error}", "check the file and the disk, then run again")
        return
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        yield Failed(f"internal error: {type(error).__name__}: {error}", "please report it with the lines above and, if you can, the file")
        return
    yield Done(skipped=False)


class InlinePool:
    """One chain after the other in this process; what a single worker and the Python interface use."""

    def __init__(self, spec: ListenerSpec) -> None:
        self._listener = Listener(spec)

    def run(self, jobs: Sequence[Job], decide: Decide) -> Iterator[tuple[int, Message]]:
        """Messages of all jobs, each with the index of its job."""
        for index, job in enumerate(jobs):
            for message in messages(self._listener, job, lambda audio_hash, index=index: decide(index, audio_hash)):  # type: ignore[misc]
                yield index, message

    def close(self) -> None:
        """Nothing is left running, and nothing limited."""
        self._listener.close()


class ProcessPool:
    """Several processes, one chain each at a time.

    A process that dies takes only its chain with it: the chain is tried once more in a fresh process, then
    reported as failed. One that dies before it has read its bundle says nothing about a chain: that ends the replay.

    Parameters
    ----------
    spec : ListenerSpec
    n_workers : int
    """

    def __init__(self, spec: ListenerSpec, n_workers: int) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._spec = spec
        self._workers = [_Worker(self._context, spec) for _ in range(n_workers)]
        self._ahead = 8 * n_workers

    def run(self, jobs: Sequence[Job], decide: Decide) -> Iterator[tuple[int, Message]]:
        """Messages of all jobs, each with the index of its job; jobs overlap, and no job runs far ahead of the slowest."""
        queue = list(range(len(jobs)))[::-1]
        open_jobs: set[int] = set()
        tries = dict.fromkeys(range(len(jobs)), 0)
        while queue or open_jobs:
            for worker in self._workers:
                slowest = min(open_jobs, default=queue[-1] if queue else 0)
                if worker.job is None and queue and queue[-1] < slowest + self._ahead:
                    worker.job = queue.pop()
                    open_jobs.add(worker.job)
                    tries[worker.job] += 1
                    worker.send(jobs[worker.job])
            busy = {worker.connection: worker for worker in self._workers if worker.job is not None}
            for connection in wait(list(busy)):
                worker = busy[connection]  # type: ignore[index]
                index = worker.job
                if index is None:
                    continue
                message = worker.receive()
                if isinstance(message, Ready):
                    continue
                if isinstance(message, EngineError):
                    raise message
                if isinstance(message, ChainHash):
                    worker.send(decide(index, message.audio_hash))
                if message is None:
                    self._workers[self._workers.index(worker)] = _Worker(self._context, self._spec)
                    open_jobs.discard(index)
                    if tries[index] < 2:
                        queue.append(index)
                        continue
                    message = Failed(f"the process that read it died twice ({worker.exit_reason()})", "run it alone with --workers 1")
                elif isinstance(message, (Done, Failed)):
                    worker.job = None
                    open_jobs.discard(index)
                yield index, message

    def close(self) -> None:
        """Ends the processes; what they were doing is dropped."""
        for worker in self._workers:
            worker.stop()


class _Worker:
    """A child process and the pipe to it."""

    def __init__(self, context: multiprocessing.context.SpawnContext, spec: ListenerSpec) -> None:
        self.connection, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=_serve, args=(theirs, spec), daemon=True)
        _start_deaf(self._process)
        theirs.close()
        self.job: int | None = None
        self._is_ready = False

    def send(self, value: Job | bool) -> None:
        try:
            self.connection.send(value)
        except OSError:
            return  # a dead child is noticed by receive()

    def receive(self) -> Message | Ready | EngineError | None:
        """The next message; None when the process is gone."""
        try:
            message: Message | Ready | EngineError = self.connection.recv()
        except (EOFError, OSError):
            if self._is_ready:
                return None
            return EngineError(
                f"a worker process ended before it could begin ({self.exit_reason()})",
                'use one worker; in a Python script, call replay under `if __name__ == "__main__":`, as every worker imports the script',
            )
        self._is_ready = True
        return message

    def exit_reason(self) -> str:
        self._process.join(5)
        code = self._process.exitcode
        if code is not None and code < 0:
            return signal.Signals(-code).name + (": perhaps out of memory" if code == -signal.SIGKILL else "")
        return f"exit code {code}"

    def stop(self) -> None:
        self.connection.close()
        self._process.terminate()
        self._process.join(5)


def _start_deaf(process: BaseProcess) -> None:
    """Start a child that does not hear Ctrl-C from its first instruction on: the blocked signal is inherited."""
    resource_tracker.ensure_running()  # would unblock the signal if it were started together with the child
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, spec: ListenerSpec) -> None:
    """Body of a child: analyse what comes down the pipe until it closes. Ctrl-C is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        listener = Listener(spec)
    except DetectorError as error:
        connection.send(EngineError(error.message, error.hint))
        return

    def decide(audio_hash: str) -> bool:
        return bool(_receive(connection))

    try:
        connection.send(Ready())
        while True:
            for message in messages(listener, _receive(connection), decide):
                connection.send(message)
    except EngineError as error:
        connection.send(error)
    except OSError:
        return  # the parent is gone


def _receive(connection: Connection) -> Any:
    """What the parent sends next; leaves without a word when the parent is gone."""
    try:
        return connection.recv()
    except (EOFError, OSError):
        sys.exit(0)
