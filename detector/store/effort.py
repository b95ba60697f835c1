"""The ledger read back: does it account for every sample, and what does it say in sum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlite_utils import Database

from detector.types import EffortState

_SPANS = """
SELECT run.run_uuid, segment.segment_uuid, segment.n_samples, segment.sample_rate_hz,
    effort.state, effort.start_sample, effort.n_samples
FROM (SELECT DISTINCT run_id, segment_id FROM analysis WHERE state = 'complete') AS done
JOIN segment ON segment.segment_id = done.segment_id
JOIN run ON run.run_id = done.run_id
LEFT JOIN effort ON effort.segment_id = segment.segment_id AND effort.run_id = done.run_id AND effort.state <> 'degraded'
ORDER BY run.run_id, segment.segment_id, effort.start_sample, effort.effort_id"""


@dataclass(frozen=True, slots=True)
class EffortFault:
    """A place where the ledger does not add up.

    Attributes
    ----------
    run_id, segment_id : str
    sample : int
        Where the next span should begin.
    problem : str
    """

    run_id: str
    segment_id: str
    sample: int
    problem: str


@dataclass(frozen=True, slots=True)
class EffortBalance:
    """The ledger of all complete analyses in sum.

    Attributes
    ----------
    segments : int
    analysed_s, lost_s : float
        Losses of known length only.
    unknown_losses : int
        Losses whose length nobody can know.
    faults : tuple of EffortFault
        Empty when every sample of every segment is accounted for exactly once.
    """

    segments: int
    analysed_s: float
    lost_s: float
    unknown_losses: int
    faults: tuple[EffortFault, ...]


@dataclass(slots=True)
class _Segment:
    """One segment on the way along its spans, which come in the order of their starts."""

    run_id: str
    segment_id: str
    n_samples: int
    reached: int = 0
    problem: str = ""

    def take(self, start: int, n_samples: int | None) -> None:
        if start != self.reached and not self.problem:
            self.problem = f"the next span begins at {start}"
        if n_samples is None and start < self.n_samples and not self.problem:
            self.problem = "a loss of unknown length lies inside the segment"
        self.reached = start + (0 if n_samples is None else n_samples)

    def fault(self) -> EffortFault | None:
        if not self.problem and self.reached < self.n_samples:
            self.problem = f"the ledger ends, but the segment has {self.n_samples} samples"
        return EffortFault(self.run_id, self.segment_id, self.reached, self.problem) if self.problem else None


def effort_balance(db: Database) -> EffortBalance:
    """Prove that analysed, paused and lost spans tile each segment without hole or overlap.

    Losses may follow the end of a segment: they are what ended it, or what its header promised. Degraded spans lie over
    others and are not counted.
    """
    segments, unknown = 0, 0
    sums = {state.value: 0.0 for state in EffortState}
    faults: list[EffortFault] = []
    current: _Segment | None = None
    for run_id, segment_id, n_samples, rate, state, start, n_span in db.execute(_SPANS):
        if current is None or (current.run_id, current.segment_id) != (run_id, segment_id):
            faults += _faults(current)
            current = _Segment(run_id, segment_id, n_samples)
            segments += 1
        if state is None:
            continue
        current.take(start, n_span)
        unknown += n_span is None
        sums[state] += 0.0 if n_span is None else n_span / rate
    faults += _faults(current)
    (bad,) = db.execute(
        "SELECT count(*) FROM effort JOIN recording USING (recording_id) WHERE effort.segment_id IS NULL AND is_current = 1"
    ).fetchone()
    return EffortBalance(segments, sums["analysed"], sums["lost"], unknown + bad, tuple(faults))


def _faults(segment: _Segment | None) -> Iterator[EffortFault]:
    if segment is not None and (fault := segment.fault()) is not None:
        yield fault
