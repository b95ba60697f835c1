"""One chain of recordings in, segment results out: the stages wired for an archive."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Literal

from threadpoolctl import threadpool_limits

from detector.audio.archive import ChainDecoder
from detector.audio.readahead import ReadAhead
from detector.audio.resample import StreamResampler
from detector.config import EventsSettings
from detector.model.bundle import Bundle, load_bundle
from detector.model.card import EventFacts
from detector.model.engine import make_engine
from detector.model.scorer import StreamingScorer
from detector.stream.boxes import BoxRule
from detector.stream.effort import EffortMeter
from detector.stream.events import ClassRule, EventTracker
from detector.stream.pipeline import Outcome, Pipeline
from detector.timeline import FrameGrid
from detector.types import AudioBlock, EffortSpan, Event, Gap, Recording, SegmentEnd

BLOCK_VALUES = 1 << 17
"""Samples handed on at a time: long enough that Python costs little, and half a megabyte at any rate."""

TRUNCATED = "the recording is shorter than its header promises"


@dataclass(frozen=True, slots=True)
class ListenerSpec:
    """Everything that decides the scores, as plain values that another process can be handed."""

    bundle: Path
    engine: Literal["auto", "onnx", "torch"]
    device: Literal["auto", "cpu", "cuda"]
    events: EventsSettings


@dataclass(frozen=True, slots=True)
class Job:
    """One channel of one chain of recordings.

    Attributes
    ----------
    chain : tuple of Recording
    channel : int or "mix"
        1 is the first.
    """

    chain: tuple[Recording, ...]
    channel: int | Literal["mix"]

    @property
    def audio_s(self) -> float:
        """Length in seconds."""
        return sum(recording.n_samples for recording in self.chain) / self.chain[0].sample_rate_hz


@dataclass(frozen=True, slots=True)
class ChainHash:
    """Identity of a chain's decoded audio and of each recording in it, known before anything is scored."""

    audio_hash: str
    recording_hashes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Heard:
    """Progress: this many more samples of the chain are done."""

    n_samples: int


@dataclass(frozen=True, slots=True)
class SegmentResult:
    """What was heard in one unbroken stretch of a chain.

    Attributes
    ----------
    first_sample : int
        Where the segment begins, counted from the start of the chain.
    n_samples : int
        Its length without the loss that ended it; 0 when a loss came first or followed on another.
    events : tuple of Event
    effort : tuple of EffortSpan
        Analysed spans tile the segment; the loss that ended it comes last.
    """

    first_sample: int
    n_samples: int
    events: tuple[Event, ...]
    effort: tuple[EffortSpan, ...]


class Listener:
    """Engine and stages of one process, used for one chain after the other.

    Parameters
    ----------
    spec : ListenerSpec

    Attributes
    ----------
    decode_ns : int
        Time spent decoding for the hash; what the read-ahead thread decodes later costs the analysis no time.

    Raises
    ------
    BundleError, EngineError
        If the bundle or the engine cannot be had.
    """

    def __init__(self, spec: ListenerSpec) -> None:
        # Small matrices gain nothing from threads, and one thread a process keeps results bit-equal.
        self._threads = threadpool_limits(1)
        self.bundle = load_bundle(spec.bundle)
        self._events = spec.events
        self._scorer = StreamingScorer(self.bundle, make_engine(self.bundle, spec.engine, spec.device))
        self.decode_ns = 0
        self.pipelines: dict[int, Pipeline] = {}

    def open(self, job: Job) -> OpenChain:
        """Decode and hash a chain.

        Raises
        ------
        AudioError
            If nothing of it can be read, or it lacks the channel.
        """
        began = perf_counter_ns()
        decoder = ChainDecoder(job.chain)
        self.decode_ns += perf_counter_ns() - began
        return OpenChain(job, decoder, self._pipeline(job.chain[0].sample_rate_hz))

    def close(self) -> None:
        """Give the process its threads back."""
        self._threads.restore_original_limits()

    def _pipeline(self, source_rate_hz: int) -> Pipeline:
        """The stages for recordings of one rate, empty."""
        if source_rate_hz not in self.pipelines:
            self.pipelines[source_rate_hz] = build_pipeline(self.bundle, self._scorer, self._events, source_rate_hz)
        pipeline = self.pipelines[source_rate_hz]
        pipeline.reset()
        return pipeline


class OpenChain:
    """A decoded chain, ready to be listened to."""

    def __init__(self, job: Job, decoder: ChainDecoder, pipeline: Pipeline) -> None:
        self.identity = ChainHash(decoder.audio_hash, decoder.recording_hashes)
        self._job = job
        self._pipeline = pipeline
        self._source = decoder.source(job.channel, BLOCK_VALUES)
        self._first_sample = 0
        self._outcomes: list[Outcome] = []

    def listen(self) -> Iterator[Heard | SegmentResult]:
        """Score the chain; a segment's result comes when it ends."""
        with ReadAhead(self._source) as items:
            for item in items:
                yield from self._push(item)
        last = self._job.chain[-1]
        missing = last.promised_samples - last.n_samples
        if missing > 0:
            yield from self._push(Gap(self._pipeline.meter.n_samples, missing, TRUNCATED))
        else:
            yield from self._collect(self._pipeline.flush(), 0)

    def _push(self, item: AudioBlock | Gap) -> Iterator[Heard | SegmentResult]:
        n_samples = len(item.samples) if isinstance(item, AudioBlock) else item.n_samples
        lost = n_samples if isinstance(item, Gap) and n_samples is not None else 0
        yield from self._collect(self._pipeline.push(item), lost)
        if n_samples is not None:
            yield Heard(n_samples)

    def _collect(self, outcomes: Sequence[Outcome], lost: int) -> Iterator[SegmentResult]:
        for outcome in outcomes:
            if not isinstance(outcome, SegmentEnd):
                self._outcomes.append(outcome)
                continue
            events = tuple(each for each in self._outcomes if isinstance(each, Event))
            effort = tuple(each for each in self._outcomes if isinstance(each, EffortSpan))
            yield SegmentResult(self._first_sample, outcome.n_samples, events, effort)
            self._first_sample += outcome.n_samples + lost
            self._outcomes = []


def build_pipeline(bundle: Bundle, scorer: StreamingScorer, events: EventsSettings, source_rate_hz: int) -> Pipeline:
    """The stages from a source's audio to events, one tracker per head.

    Parameters
    ----------
    bundle : Bundle
    scorer : StreamingScorer
    events : EventsSettings
    source_rate_hz : int
        Rate of the recording or microphone.
    """
    card = bundle.card
    grid = FrameGrid(source_rate_hz, card.sample_rate_hz, card.frame_hop_samples)
    return Pipeline(StreamResampler(source_rate_hz, card.sample_rate_hz), scorer, build_trackers(bundle, events), EffortMeter(grid))


def build_trackers(bundle: Bundle, events: EventsSettings) -> list[EventTracker]:
    """One tracker per head.

    Raises
    ------
    ConfigError
        If the floor of the settings lies below what the bundle takes for quiet.
    """
    hop_s = bundle.card.frame_hop_s
    column = 0
    trackers = []
    for name, head in bundle.card.heads.items():
        rules = [_class_rule(entry.label, column + i, entry.events, hop_s) for i, entry in enumerate(head.classes)]
        column += len(rules)
        trackers.append(
            EventTracker(
                name,
                rules,
                longest_frames=_frames(events.longest_s, hop_s),
                floor_logit=math.log(events.floor / (1.0 - events.floor)),
                hour_frames=_frames(3600.0, hop_s),
                rate_cap=events.rate_cap_per_hour,
            )
        )
    return trackers


def _class_rule(label: str, column: int, facts: EventFacts, hop_s: float) -> ClassRule:
    boxes = BoxRule(
        half_step=_frames(facts.step_filter_s, hop_s),
        merge_logits=facts.merge_logits,
        join_frames=round(facts.join_s / hop_s),
        min_frames=_frames(facts.min_duration_s, hop_s),
    )
    return ClassRule(label, column, facts.low_logit, boxes)


def _frames(seconds: float, hop_s: float) -> int:
    return max(1, round(seconds / hop_s))
