"""A segment under way: its events and effort as rows, until they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from detector.errors import StoreError
from detector.store.rows import ClassInfo, Row, RunInfo, SegmentInfo, effort_row, event_row
from detector.types import EffortSpan, Event


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of one segment that are written together.

    Attributes
    ----------
    is_first : bool
        The first piece of its segment clears away what an interrupted analysis has left.
    events : list of (str, dict)
        Head and columns.
    effort : list of dict
    """

    is_first: bool
    events: list[tuple[str, Row]]
    effort: list[Row]

    @property
    def n_rows(self) -> int:
        """How many rows it holds."""
        return len(self.events) + len(self.effort)


@dataclass(slots=True)
class Buffer:
    """A segment under way, and its rows that are not yet written.

    Attributes
    ----------
    run : RunInfo
    segment : SegmentInfo
    claim : str
        Marks a partial analysis as this writer's own.
    """

    run: RunInfo
    segment: SegmentInfo
    claim: str = field(default_factory=lambda: uuid4().hex)
    _events: list[tuple[str, Row]] = field(default_factory=list)
    _effort: list[Row] = field(default_factory=list)
    _is_first: bool = True

    @property
    def n_rows(self) -> int:
        """Rows that wait."""
        return len(self._events) + len(self._effort)

    def add(self, events: Sequence[Event], effort: Sequence[EffortSpan]) -> None:
        """Turn events and effort into rows.

        Raises
        ------
        StoreError
            If an event has a class that the run does not know.
        """
        classes = {(info.head, info.label): info for info in self.run.classes}
        for event in events:
            self._events.append((event.head, event_row(event, self.run, self.segment, _class(classes, event))))
        self._effort += [effort_row(span, self.segment) for span in effort]

    def take(self, n_rows: int) -> Piece:
        """The next rows, at most so many."""
        events, self._events = self._events[:n_rows], self._events[n_rows:]
        rest = n_rows - len(events)
        effort, self._effort = self._effort[:rest], self._effort[rest:]
        is_first, self._is_first = self._is_first, False
        return Piece(is_first, events, effort)


def _class(classes: dict[tuple[str, str], ClassInfo], event: Event) -> ClassInfo:
    try:
        return classes[event.head, event.label]
    except KeyError:
        raise StoreError(
            f"the run has no class {event.label!r} of head {event.head!r}", "the bundle and its run disagree: report this"
        ) from None
