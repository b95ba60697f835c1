"""The single writer: everything that run and replay put into the database goes through here.

Ids are deterministic, so that doing a thing twice changes nothing. What concerns recordings and segments is buffered and
committed at most once a second; a crash loses only what was not committed, and that is done again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from detector.config import DeploymentSettings, StationSettings
from detector.errors import StoreError
from detector.store import places, recordings, segments
from detector.store.buffer import Buffer
from detector.store.database import Writer
from detector.store.restamp import restamp
from detector.store.rows import KnownRecording, RunInfo, SegmentInfo, recording_id
from detector.store.schema import migrate
from detector.store.thresholds import ThresholdVersion, add_threshold
from detector.types import BadRecording, EffortSpan, Event, Recording, StartTime

COMMIT_INTERVAL_S = 1.0
TRANSACTION_S = 0.02
"""No further step enters a transaction after this, so that other writers wait for less than 50 ms."""

ROWS_PER_STEP = 200
PAUSE_S = 0.002
"""Between two transactions of one flush, for whoever waits for the lock."""

_Key = tuple[str, str]


class Store:
    """Writes one database. Use it as a context manager: leaving it commits what is buffered.

    Parameters
    ----------
    path : Path
        The SQLite file; made when absent.

    Raises
    ------
    StoreError
        If the file is not a database of this program, is damaged, newer than the program, on a network drive, or cannot be written.

    Notes
    -----
    A recording is worked through like this; all but the first line is repeated::

        run = store.ensure_run(info)
        recording = store.add_recording(deployment, header, hash)
        if not store.is_complete(run, segment.segment_id):
            store.begin_segment(run, segment)
            store.add_results(run, segment.segment_id, events, effort)
            store.complete_segment(run, segment.segment_id, n_samples)
        store.finish_recordings(run, [recording], chain_hash)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer = Writer(path)
        self._runs: dict[str, RunInfo] = {}
        self._sources: dict[tuple[int, str, str, str], int] = {}
        self._open: dict[_Key, Buffer] = {}
        self._completed: dict[_Key, str] = {}
        self._finished: set[_Key] = set()
        self._queue: list[Callable[[], object]] = []
        self._committed_at = time.monotonic()
        try:
            migrate(self._writer)
        except BaseException:
            self._writer.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def longest_lock_s(self) -> float:
        """The longest time that this store has kept other writers waiting."""
        return self._writer.lock.longest_hold_s

    def ensure_station(self, settings: StationSettings) -> int:
        """Id of the station of this name, made or brought up to date."""
        with self._writer.transaction() as db:
            return places.ensure_station(db, settings)

    def ensure_deployment(self, station_id: int, settings: DeploymentSettings) -> int:
        """Id of the deployment of this name at the station, made or brought up to date."""
        with self._writer.transaction() as db:
            return places.ensure_deployment(db, station_id, settings)

    def ensure_source(self, deployment_id: int, kind: str, channel: str, name: str = "") -> int:
        """Id of a source: "recordings" or "microphone", and which channel of it."""
        key = (deployment_id, kind, channel, name)
        if key not in self._sources:
            with self._writer.transaction() as db:
                self._sources[key] = places.ensure_source(db, *key)
        return self._sources[key]

    def ensure_run(self, run: RunInfo) -> str:
        """Make the run known, with its card's thresholds as the first version if its bundle has none.

        Returns
        -------
        str
            ``run.run_id``, for the other methods.
        """
        with self._writer.transaction() as db:
            places.ensure_run(db, run)
        self._runs[run.run_id] = run
        return run.run_id

    def add_threshold(self, version: ThresholdVersion) -> int:
        """Append a version of a threshold; it holds from now on, until another of its scope is added.

        Returns
        -------
        int
            Its number.
        """
        with self._writer.transaction() as db:
            return add_threshold(db, version, time.time_ns())

    def known_recordings(self, run_id: str) -> dict[str, KnownRecording]:
        """What is known of every path (as `rows.path_text` writes it), in one query; good and bad recordings."""
        self.flush()
        return recordings.known(self._writer.db, run_id)

    def add_recording(self, deployment_id: int, recording: Recording, audio_hash: str) -> str:
        """Note a good recording by the hash of its own audio. Other content under a known path replaces the old.

        Returns
        -------
        str
            The id of the recording. When the same audio is known under another path, the row is a duplicate of that one.
        """
        self._enqueue(lambda: recordings.add(self._writer.db, deployment_id, recording, audio_hash))
        return recording_id(recording.path, audio_hash)

    def restamp_recording(self, recording_id: str, start: StartTime) -> None:
        """Give a stored recording, and all that was heard in it, another start time; nothing else changes."""
        self._enqueue(lambda: restamp(self._writer.db, recording_id, start))

    def add_bad_recording(self, deployment_id: int, bad: BadRecording) -> None:
        """Note a file that could not be used, with a row of lost effort of unknown length."""
        self._enqueue(lambda: recordings.add_bad(self._writer.db, deployment_id, bad))

    def is_complete(self, run_id: str, segment_id: str) -> bool:
        """Whether this run has wholly analysed this segment and finished the recordings that it is of, under any path."""
        if (run_id, self._completed.get((run_id, segment_id), "")) in self._finished:
            return True
        return segments.is_complete(self._writer.db, run_id, segment_id)

    def begin_segment(self, run_id: str, segment: SegmentInfo) -> None:
        """Start an analysis. What an interrupted one has left of it is replaced."""
        self._open[run_id, segment.segment_id] = Buffer(self._run(run_id), segment)

    def add_results(self, run_id: str, segment_id: str, events: Sequence[Event], effort: Sequence[EffortSpan]) -> None:
        """Events and effort of a segment that was begun, in the order in which they came."""
        buffer = self._buffer(run_id, segment_id)
        buffer.add(events, effort)
        while buffer.n_rows >= ROWS_PER_STEP:
            self._enqueue_rows(buffer)
        self.tick()

    def complete_segment(self, run_id: str, segment_id: str, n_samples: int) -> None:
        """The segment has ended after ``n_samples`` of its own rate; its analysis becomes the active one.

        Events and effort count from here on, and those of older analyses of the same audio no longer do, in one transaction.
        """
        buffer = self._buffer(run_id, segment_id)
        while buffer.n_rows > ROWS_PER_STEP:
            self._enqueue_rows(buffer)
        del self._open[run_id, segment_id]
        self._completed[run_id, segment_id] = buffer.segment.audio_hash
        piece = buffer.take(ROWS_PER_STEP)
        self._enqueue(lambda: segments.complete(self._writer.db, buffer, piece, n_samples))

    def finish_recordings(self, run_id: str, recording_ids: Sequence[str], chain_hash: str) -> None:
        """All segments of a chain of recordings are done in this run, or were done before; make their analyses the active ones.

        Parameters
        ----------
        run_id : str
        recording_ids : sequence of str
            The chain's recordings.
        chain_hash : str
            Audio hash of the whole chain.
        """
        ids = list(recording_ids)
        self._finished.add((run_id, chain_hash))
        self._enqueue(lambda: segments.finish(self._writer.db, run_id, ids, chain_hash))

    def activate_finished(self, run_id: str, recording_ids: Sequence[str]) -> int:
        """Make what this run found in these recordings count again, after another run has been in force.

        Returns
        -------
        int
            How many analyses were switched.
        """
        self.flush()
        return segments.activate_finished(self._writer, run_id, recording_ids)

    def tick(self) -> None:
        """Commit what is buffered when the last commit is a second old."""
        if self._queue and time.monotonic() - self._committed_at >= COMMIT_INTERVAL_S:
            self.flush()

    def flush(self) -> None:
        """Commit what is buffered of finished things now; a segment that is under way waits.

        Raises
        ------
        StoreError
            If the disk is full or fails; nothing buffered is lost, and calling again tries again.
        """
        while self._queue:
            n_steps = 0
            try:
                with self._writer.transaction():
                    until = time.monotonic() + TRANSACTION_S
                    while n_steps < len(self._queue) and (n_steps == 0 or time.monotonic() < until):
                        self._queue[n_steps]()
                        n_steps += 1
            finally:
                # Ctrl-C can arrive when COMMIT has just returned: what is on disk must not be written again.
                if self._writer.committed:
                    del self._queue[:n_steps]
            self._writer.checkpoint_if_due()
            if self._queue:
                time.sleep(PAUSE_S)
        # The database answers for what is finished; a segment whose recordings are not yet is still remembered here.
        self._completed = {key: audio for key, audio in self._completed.items() if (key[0], audio) not in self._finished}
        self._finished.clear()
        self._committed_at = time.monotonic()

    def close(self) -> None:
        """Commit, checkpoint and close. Segments that were begun and not completed are done again by the next run."""
        try:
            self.flush()
        finally:
            self._writer.close()

    def _enqueue(self, step: Callable[[], object]) -> None:
        self._queue.append(step)
        self.tick()

    def _enqueue_rows(self, buffer: Buffer) -> None:
        piece = buffer.take(ROWS_PER_STEP)
        self._enqueue(lambda: segments.write(self._writer.db, buffer, piece))

    def _run(self, run_id: str) -> RunInfo:
        if run_id not in self._runs:
            raise StoreError(f"run {run_id} is not known to this store", "call ensure_run first")
        return self._runs[run_id]

    def _buffer(self, run_id: str, segment_id: str) -> Buffer:
        if (run_id, segment_id) not in self._open:
            raise StoreError(f"segment {segment_id} was not begun", "call begin_segment first")
        return self._open[run_id, segment_id]
