"""Scores to candidate events, streaming: the same boxes for every partition of the score stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detector.errors import ConfigError, EngineError
from detector.stream.boxes import FIXED_POINT, BoxRule, IntArray, find_boxes, to_fixed
from detector.types import Event, FloatArray, FrameScores, Gap, HalfArray

_TOP_SHARE = 10
"""`Event.logit_top` is the mean of the highest 1 / 10 of an event's frames, at least one."""


@dataclass(frozen=True, slots=True)
class ClassRule:
    """One class of a head.

    Attributes
    ----------
    label : str
    column : int
        Its column in `FrameScores.logits`.
    low_logit : float
        Fixed level of quiet. Frames at or below it belong to no event. Not a threshold: a fact of the bundle.
    boxes : BoxRule
        How frames above it are cut into boxes.
    """

    label: str
    column: int
    low_logit: float
    boxes: BoxRule

    @property
    def bridge_frames(self) -> int:
        """A hole of this many quiet frames ends a stretch: nothing beyond it can change a box before it."""
        return self.boxes.join_frames + 1

    @property
    def settle_frames(self) -> int:
        """While a stretch goes on, boxes that ended this long ago are taken as they are."""
        return max(self.boxes.join_frames + 2 * self.boxes.half_step, self.boxes.min_frames)


@dataclass(frozen=True, slots=True)
class CappedHour:
    """Candidates of one class that were counted but not kept, because an hour of audio held too many.

    Attributes
    ----------
    label : str
    start_frame, end_frame : int
        The hour, half open, in frames of the segment; cut at the segment's end.
    count : int
    """

    label: str
    start_frame: int
    end_frame: int
    count: int


class EventTracker:
    """Candidate events of one head.

    Per class, frames above ``low_logit`` form stretches (holes up to ``join_frames`` stay inside). A stretch that has
    ended is cut into boxes by `find_boxes`; one that goes on is looked at whenever the segment's frame count is a multiple of
    a quarter of the longest length, and boxes that can no longer change are sent. An event longer than ``longest_frames`` goes
    on as a linked one. Only frame numbers decide when a stretch is looked at, so the push sizes cannot matter.

    Parameters
    ----------
    head : str
    rules : sequence of ClassRule
    longest_frames : int
    floor_logit : float
        Events with a mean logit below it are not kept.
    hour_frames : int
        Frames in one hour of audio.
    rate_cap : int
        Most events kept per class and hour (by their first frame); the earliest are kept, the others counted.

    Raises
    ------
    ConfigError
        If the floor is below the quiet level of a class: such events could not be found.
    """

    def __init__(
        self, head: str, rules: Sequence[ClassRule], longest_frames: int, floor_logit: float, hour_frames: int, rate_cap: int
    ) -> None:
        for rule in rules:
            if floor_logit < rule.low_logit:
                lowest = float(1.0 / (1.0 + np.exp(-rule.low_logit)))
                raise ConfigError(
                    f"floor {1.0 / (1.0 + np.exp(-floor_logit)):.4g} is below {lowest:.4g}, where class {rule.label!r} counts as quiet",
                    f"set events.floor to {lowest:.4g} or more",
                )
        self.head = head
        self.rules = tuple(rules)
        self.longest_frames = longest_frames
        self.floor_logit = floor_logit
        self.hour_frames = hour_frames
        self.rate_cap = rate_cap
        self.look_frames = max(longest_frames // 4, 1)
        self.reset()

    @property
    def latency_frames(self) -> int:
        """Most frames between the end of an event and the frame at whose arrival it is sent.

        Seldom reached: an event that nothing follows is sent after the bridge, one within a lively stretch mostly at the next look.
        It waits longer only while it seems to be part of a box that goes on, and that is cut at the longest length.
        """
        settle = max((rule.settle_frames for rule in self.rules), default=0)
        return self.longest_frames + self.look_frames + settle

    def reset(self) -> None:
        """Forget the segment."""
        self.n_frames = 0
        self._chunks: deque[FrameScores] = deque()
        self._tracks = [_Track() for _ in self.rules]
        self._capped: list[CappedHour] = []

    def push(self, item: FrameScores | Gap) -> list[Event]:
        """Take the next scores; events that are complete come out, per class in order of time.

        The arrays of ``item`` are kept by reference while an event may need them: the sender must not write to them again.

        Raises
        ------
        EngineError
            If a logit is not a finite number.
        ValueError
            If the frames do not follow on the ones before.
        """
        if isinstance(item, Gap):
            return self.flush()
        if item.start_frame != self.n_frames:
            raise ValueError(f"scores start at frame {item.start_frame}, expected {self.n_frames}")
        if not np.isfinite(item.logits).all():
            raise EngineError(f"head {self.head!r} gave scores that are not finite near frame {item.start_frame}", "run detector doctor")
        self._chunks.append(item)
        end = item.start_frame + len(item.logits)
        events: list[Event] = []
        while self.n_frames < end:
            stop = min(end, (self.n_frames // self.look_frames + 1) * self.look_frames)
            rows = item.logits[self.n_frames - item.start_frame : stop - item.start_frame]
            self._advance(rows, events)
        self._drop_chunks()
        return events

    def flush(self) -> list[Event]:
        """End the segment: close everything and begin a new segment at frame 0.

        Hours over the rate cap stay to be taken with `take_capped`.
        """
        events: list[Event] = []
        for rule, track in zip(self.rules, self._tracks, strict=True):
            self._close(rule, track, events)
            self._end_hour(rule, track, self.n_frames)
        capped = self._capped
        self.reset()
        self._capped = capped
        return events

    def take_capped(self) -> list[CappedHour]:
        """Hours in which the rate cap has bitten and which are over; each is given once."""
        capped, self._capped = self._capped, []
        return capped

    def _advance(self, rows: FloatArray, events: list[Event]) -> None:
        """Take frames up to, at most, the next look."""
        first, self.n_frames = self.n_frames, self.n_frames + len(rows)
        look = self.n_frames % self.look_frames == 0
        for rule, track in zip(self.rules, self._tracks, strict=True):
            hot = np.flatnonzero(rows[:, rule.column] > rule.low_logit)
            if hot.size:
                self._extend(rule, track, hot + first, events)
            if track.start is None:
                continue
            if self.n_frames - track.end >= rule.bridge_frames:
                self._close(rule, track, events)
            elif look:
                self._look(rule, track, events)

    def _extend(self, rule: ClassRule, track: _Track, hot: IntArray, events: list[Event]) -> None:
        """Add frames above quiet; a hole as long as the bridge ends one stretch and begins another."""
        breaks = np.flatnonzero(np.diff(hot) > rule.bridge_frames) + 1
        for group in np.split(hot, breaks) if breaks.size else [hot]:
            if track.start is not None and int(group[0]) - track.end >= rule.bridge_frames:
                self._close(rule, track, events)
            if track.start is None:
                track.start = int(group[0])
            track.end = int(group[-1]) + 1

    def _close(self, rule: ClassRule, track: _Track, events: list[Event]) -> None:
        """A stretch has ended: send all of it."""
        if track.start is None:
            return
        start, linked = track.start, track.linked
        track.start, track.linked = None, False
        if not linked and track.end - start < rule.boxes.min_frames:
            return
        fixed = to_fixed(self._column(rule.column, start, track.end))
        for box in _boxes(fixed, rule, linked):
            rest, is_linked = self._send_pieces(rule, track, start, fixed, box, linked and box[0] == 0, events)
            self._send(rule, track, start, fixed, rest, is_linked, events)

    def _look(self, rule: ClassRule, track: _Track, events: list[Event]) -> None:
        """A stretch goes on: send the boxes that can no longer change, and what an open one has beyond the longest length."""
        assert track.start is not None  # the caller has looked
        start = track.start
        settled = self.n_frames - start - rule.settle_frames
        if settled <= 0:
            return
        fixed = to_fixed(self._column(rule.column, start, self.n_frames))
        kept_from, linked = settled, False
        for box in _boxes(fixed, rule, track.linked):
            rest, is_linked = self._send_pieces(rule, track, start, fixed, box, track.linked and box[0] == 0, events)
            if box[1] > settled:
                kept_from, linked = (rest[0], is_linked) if is_linked else (min(rest[0], settled), False)
                break
            self._send(rule, track, start, fixed, rest, is_linked, events)
        track.start, track.linked = start + kept_from, linked
        if track.start >= track.end:
            track.start, track.linked = None, False

    def _send_pieces(
        self, rule: ClassRule, track: _Track, offset: int, fixed: IntArray, box: tuple[int, int], linked: bool, events: list[Event]
    ) -> tuple[tuple[int, int], bool]:
        """Send what a box has beyond the longest length; give the rest, and whether it continues what was sent."""
        start, end = box
        while end - start > self.longest_frames:
            self._send(rule, track, offset, fixed, (start, start + self.longest_frames), linked, events)
            start, linked = start + self.longest_frames, True
        return (start, end), linked

    def _send(
        self, rule: ClassRule, track: _Track, offset: int, fixed: IntArray, box: tuple[int, int], linked: bool, events: list[Event]
    ) -> None:
        """Keep a box as an event, unless it is below the floor or its hour is full."""
        scores = fixed[box[0] : box[1]]
        n = len(scores)
        mean = int(scores.sum()) / (n * FIXED_POINT)
        if mean < self.floor_logit:
            return
        start, end = offset + box[0], offset + box[1]
        hour = start // self.hour_frames
        if hour != track.hour:
            self._end_hour(rule, track, (track.hour + 1) * self.hour_frames)
            track.hour = hour
        track.in_hour += 1
        if track.in_hour > self.rate_cap:
            return
        n_top = -(-n // _TOP_SHARE)
        top = int(np.partition(scores, n - n_top)[n - n_top :].sum()) / (n_top * FIXED_POINT)
        highest = int(scores.max()) / FIXED_POINT
        events.append(Event(self.head, rule.label, start, end, mean, highest, top, self._mean_embedding(start, end), linked))

    def _end_hour(self, rule: ClassRule, track: _Track, end_frame: int) -> None:
        if track.in_hour > self.rate_cap:
            self._capped.append(CappedHour(rule.label, track.hour * self.hour_frames, end_frame, track.in_hour - self.rate_cap))
        track.in_hour = 0

    def _pieces(self, start: int, end: int) -> list[tuple[FrameScores, slice]]:
        """Chunks that hold frames ``start`` to ``end``, and which of their rows."""
        pieces = []
        for chunk in self._chunks:
            first, last = max(start - chunk.start_frame, 0), min(end - chunk.start_frame, len(chunk.logits))
            if first < last:
                pieces.append((chunk, slice(first, last)))
        return pieces

    def _column(self, column: int, start: int, end: int) -> FloatArray:
        return np.concatenate([chunk.logits[rows, column] for chunk, rows in self._pieces(start, end)])

    def _mean_embedding(self, start: int, end: int) -> HalfArray:
        rows = np.concatenate([chunk.embeddings[rows] for chunk, rows in self._pieces(start, end)]).astype(np.float64)
        mean: HalfArray = (np.add.reduce(rows, axis=0) / len(rows)).astype(np.float16)
        return mean

    def _drop_chunks(self) -> None:
        needed = min((track.start for track in self._tracks if track.start is not None), default=self.n_frames)
        while self._chunks and self._chunks[0].start_frame + len(self._chunks[0].logits) <= needed:
            self._chunks.popleft()


@dataclass(slots=True)
class _Track:
    """Where one class is: its open stretch, and how many events its hour has."""

    start: int | None = None
    end: int = 0
    linked: bool = False
    hour: int = 0
    in_hour: int = 0


def _boxes(fixed: IntArray, rule: ClassRule, linked: bool) -> list[tuple[int, int]]:
    """Boxes of a stretch. What goes on from a cut begins at the cut, not at the next change within the filter's reach."""
    quiet = round(rule.low_logit * FIXED_POINT)
    boxes = find_boxes(np.maximum(fixed - quiet, 0), rule.boxes)
    if linked and boxes and boxes[0][0] <= rule.settle_frames:
        boxes[0] = (0, boxes[0][1])
    return boxes
