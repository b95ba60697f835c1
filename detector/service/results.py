"""What was heard in a chain of recordings, turned into rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from detector.service.listener import ChainHash, Job, SegmentResult
from detector.service.pool import Failed, Message
from detector.store.rows import SegmentInfo, SegmentPart, path_text
from detector.store.store import Store
from detector.store.summary import loss_text
from detector.timeline import NANOSECONDS, Clock, ClockKnot, archive_segment_id
from detector.types import BadRecording, EffortState, Recording


@dataclass(slots=True)
class ResultWriter:
    """Writes the results of one job after the other; a chain of which a channel failed is not finished, and is tried again by the next run.

    Attributes
    ----------
    store : Store
    deployment : int
    run : str
    bad : list of (str, str)
        Path and reason of every recording that failed or lost something.
    audio_s : float
        Audio analysed so far.
    n_events : int
        Candidates stored so far.
    """

    store: Store
    deployment: int
    run: str
    bad: list[tuple[str, str]] = field(default_factory=list)
    audio_s: float = 0.0
    n_events: int = 0
    _failure: Failed | None = None

    def is_complete(self, job: Job, audio_hash: str) -> bool:
        """Whether this audio has been analysed, under any name."""
        return self.store.is_complete(self.run, archive_segment_id(audio_hash, str(job.channel), 0))

    def write(self, job: Job, messages: Sequence[Message], last_of_chain: bool) -> None:
        """Store everything of one job.

        Parameters
        ----------
        job : Job
        messages : sequence
            All of the job, in order.
        last_of_chain : bool
            True when no further channel of the same chain follows.
        """
        failure = next((message for message in messages if isinstance(message, Failed)), None)
        identity = next((message for message in messages if isinstance(message, ChainHash)), None)
        results = [message for message in messages if isinstance(message, SegmentResult)]
        if failure is None and (identity is None or (not results and not self.is_complete(job, identity.audio_hash))):
            failure = Failed("an identical recording could not be analysed", "see the reason given for that one")
        if failure is None and identity is not None:
            self._results(job, identity, results, last_of_chain)
        elif self._failure is None:
            self._failure = failure
        if last_of_chain and self._failure is not None:
            self._fail(job, self._failure)
            self._failure = None

    def _results(self, job: Job, identity: ChainHash, results: Sequence[SegmentResult], last_of_chain: bool) -> None:
        recordings = [
            self.store.add_recording(self.deployment, recording, audio_hash)
            for recording, audio_hash in zip(job.chain, identity.recording_hashes, strict=True)
        ]
        source = self.store.ensure_source(self.deployment, "recordings", str(job.channel), job.chain[0].device or "")
        for result in results:
            self._segment(job, describe_segment(job, identity.audio_hash, recordings, source, result), result)
        for recording_id, recording in zip(recordings, job.chain, strict=True):
            # What an earlier run, or the same audio under another name, has left may carry another time.
            self.store.restamp_recording(recording_id, recording.start)
        if last_of_chain and self._failure is None:
            self.store.finish_recordings(self.run, recordings, identity.audio_hash)

    def _segment(self, job: Job, segment: SegmentInfo, result: SegmentResult) -> None:
        for span in result.effort:
            if span.state is EffortState.LOST:
                recording, where = recording_at(job.chain, result.first_sample + span.start_sample)
                lost_s = None if span.n_samples is None else span.n_samples / segment.sample_rate_hz
                self.bad.append((path_text(recording.path), loss_text(span.reason, lost_s, where / segment.sample_rate_hz)))
        self.audio_s += result.n_samples / segment.sample_rate_hz
        if self.store.is_complete(self.run, segment.segment_id):
            return
        self.n_events += len(result.events)
        self.store.begin_segment(self.run, segment)
        self.store.add_results(self.run, segment.segment_id, result.events, result.effort)
        self.store.complete_segment(self.run, segment.segment_id, result.n_samples)

    def _fail(self, job: Job, failure: Failed) -> None:
        for recording in job.chain:
            self.bad.append((path_text(recording.path), failure.reason))
            bad = BadRecording(recording.path, recording.size_bytes, recording.mtime_ns, failure.reason, failure.hint)
            self.store.add_bad_recording(self.deployment, bad)


def recording_at(chain: Sequence[Recording], sample: int) -> tuple[Recording, int]:
    """The recording that holds a sample of the chain, and the sample counted within it."""
    for recording in chain[:-1]:
        if sample < recording.n_samples:
            return recording, sample
        sample -= recording.n_samples
    return chain[-1], sample


def describe_segment(job: Job, chain_hash: str, recording_ids: Sequence[str], source: int, result: SegmentResult) -> SegmentInfo:
    """The segment of a chain that a result is of, with its parts and its clock.

    The clock has one knot, from the recording in which the segment begins: names and headers of the next ones are
    rounded to a second and would only add jitter to a stretch that is known to be unbroken.
    """
    rate, first_sample = job.chain[0].sample_rate_hz, result.first_sample
    offsets = list(accumulate((recording.n_samples for recording in job.chain[:-1]), initial=-first_sample))
    last = len(job.chain) - 1
    # A recording that begins where the segment ends may hold the loss that ended it; later ones are none of its parts.
    begun = [at for at, offset in enumerate(offsets) if offset <= max(result.n_samples, 0)]
    inside = [at for at in begun if offsets[at] + job.chain[at].n_samples > 0 or at == last]
    parts = tuple(SegmentPart(recording_ids[at], offsets[at]) for at in inside)
    start = job.chain[inside[0]].start
    utc_ns = None if start.utc_ns is None else start.utc_ns - offsets[inside[0]] * NANOSECONDS // rate
    knot = ClockKnot(0, utc_ns, None, start.uncertainty_ns, start.provenance)
    segment_id = archive_segment_id(chain_hash, str(job.channel), first_sample)
    return SegmentInfo(segment_id, source, chain_hash, str(job.channel), first_sample, rate, parts, Clock(rate, (knot,)))
