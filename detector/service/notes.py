"""What the reader of a replay's summary should know beyond its figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from detector.model.card import Card
from detector.service.plan import ReplayPlan


def notes(card: Card, plan: ReplayPlan, other_runs: int, switched: int, elsewhere: Sequence[tuple[str, str, int]]) -> Iterator[str]:
    """A sentence for each thing that happened or that limits what can have been found.

    Parameters
    ----------
    card : Card
    plan : ReplayPlan
    other_runs : int
        Runs with another bundle or other settings over the same recordings.
    switched : int
        Analyses of this run that count again.
    elsewhere : sequence of (station, deployment, int)
        Unchanged recordings that stand under another station or deployment than the settings name.
    """
    if plan.changed:
        yield f"files with other content than before: {len(plan.changed)}; analysed anew, what the old content gave is kept but not counted"
    if other_runs:
        yield f"bundle or settings differ from those of an earlier run ({other_runs} in all); this run stands beside it, and it counts"
    if plan.restamped:
        yield f"recordings with another start time than before, as the settings say now: {len(plan.restamped)}; nothing was analysed again"
    if switched:
        yield f"finished analyses of this run that count again: {switched}"
    yield from _band(card, plan)
    for station, deployment, count in elsewhere:
        yield (
            f"unchanged recordings that stay under station {station!r}, deployment {deployment!r}, their first place: {count}; "
            "for another place replay them into a new database"
        )


def _band(card: Card, plan: ReplayPlan) -> Iterator[str]:
    recordings = [recording for jobs in plan.jobs for recording in jobs[0].chain]
    high = [recording.sample_rate_hz for recording in recordings if recording.sample_rate_hz / 2 > 1.5 * card.high_hz]
    if high:
        yield (
            f"bundle {card.name} hears {card.low_hz:g} to {card.high_hz:g} Hz only; "
            f"recordings that reach higher: {len(high)}, the highest to {max(high) / 2000:g} kHz"
        )
    low = sum(recording.sample_rate_hz / 2 < 0.5 * card.high_hz for recording in recordings)
    if low:
        yield f"recordings that end below half of {card.high_hz:g} Hz, where bundle {card.name} ends: {low}; higher calls are not in them"
    unknown = sum(recording.start.utc_ns is None for recording in recordings)
    if unknown:
        yield (
            f"recordings without a known start in UTC: {unknown}; "
            "if names or headers say a time, set station.time_zone or recordings.name_pattern"
        )
