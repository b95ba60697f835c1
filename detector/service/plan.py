"""What a replay has to do: look at the files, leave out what is done, join what is one recording."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Literal, TypeAlias

from detector.audio.archive import chain_recordings, find_recordings, inspect_recording
from detector.audio.names import PATTERN_PROVENANCE
from detector.config import Settings
from detector.service.listener import Job
from detector.store.rows import KnownRecording, path_text
from detector.types import BadRecording, Recording, StartTime

INSPECTORS = 8
"""Headers are read in threads: on a card or network drive the wait is for the disk."""


_Past: TypeAlias = Mapping[str, Mapping[str, str | None]]
"""Hash of a chain -> path of each recording in it -> hash of its audio."""


@dataclass(slots=True)
class ReplayPlan:
    """The work of one replay.

    Attributes
    ----------
    jobs : list of list of Job
        One inner list per chain, one job per channel, in the order of paths.
    unchanged : list of KnownRecording
        Recordings that this run has finished, and bad ones that are as they were.
    bad : list of BadRecording
        Found bad now.
    changed : list of Path
        Files with other content than when they were last analysed.
    restamped : list of (str, StartTime)
        Ids of unchanged recordings whose start time is read otherwise now, because a setting says more than before.
    """

    jobs: list[list[Job]] = field(default_factory=list)
    unchanged: list[KnownRecording] = field(default_factory=list)
    bad: list[BadRecording] = field(default_factory=list)
    changed: list[Path] = field(default_factory=list)
    restamped: list[tuple[str, StartTime]] = field(default_factory=list)


def plan_replay(paths: Sequence[str | Path], settings: Settings, known: Mapping[str, KnownRecording]) -> ReplayPlan:
    """Decide what to do with each recording.

    In a folder in which every file is known, unchanged and finished, or bad, only the bad ones are opened; so a second replay of
    a large archive costs one look at each file's size and date.

    Parameters
    ----------
    paths : sequence of str or Path
        Files, folders, patterns.
    settings : Settings
    known : mapping
        From `Store.known_recordings`, for the run that is about to go on.

    Raises
    ------
    AudioError
        If a path matches nothing.
    """
    plan = ReplayPlan()
    past = _chains(known)
    inspect = partial(inspect_recording, zone=settings.station.zone, name_pattern=settings.recordings.name_pattern)
    with ThreadPoolExecutor(INSPECTORS) as pool:
        for folder in _by_folder(find_recordings(paths)):
            stands = [known.get(path_text(path)) for path in folder]
            doubtful = [path for path, before in zip(folder, stands, strict=True) if not _is_finished(path, before, settings)]
            if all(_is_still_bad(item, known) for item in pool.map(inspect, doubtful)):
                plan.unchanged += [before for before in stands if before is not None]
                continue
            _plan_folder(plan, list(pool.map(inspect, folder)), settings, known, past)
    return plan


def _plan_folder(
    plan: ReplayPlan,
    inspected: Sequence[Recording | BadRecording],
    settings: Settings,
    known: Mapping[str, KnownRecording],
    past: _Past,
) -> None:
    good = []
    for item in inspected:
        before = known.get(path_text(item.path))
        if before is not None and not _is_as_it_was(item, before):
            plan.changed.append(item.path)
        if isinstance(item, Recording):
            good.append(item)
        elif before is not None and _is_still_bad(item, known):
            plan.unchanged.append(before)
        else:
            plan.bad.append(item)
    present = frozenset(path_text(recording.path) for recording in good)
    for chain in chain_recordings(good, settings.recordings.gapless):
        _plan_chain(plan, chain, settings, known, past, present)


def _plan_chain(
    plan: ReplayPlan,
    chain: tuple[Recording, ...],
    settings: Settings,
    known: Mapping[str, KnownRecording],
    past: _Past,
    present: frozenset[str],
) -> None:
    """A job for each channel of a chain, unless what was found in it before stands, wholly or for a part."""
    standing = _standing(chain, known, past, present)
    if not standing:
        plan.jobs.append([Job(chain, channel) for channel in _channels(settings.recordings.channel, chain)])
        return
    for stands, group in groupby(chain, lambda recording: path_text(recording.path) in standing):
        part = tuple(group)
        if not stands:
            _plan_chain(plan, part, settings, known, past, present)
            continue
        pairs = [(known[path_text(recording.path)], recording) for recording in part]
        plan.unchanged += [before for before, _ in pairs]
        plan.restamped += [(before.recording_id, now.start) for before, now in pairs if before.start != now.start]


def _standing(
    chain: Sequence[Recording], known: Mapping[str, KnownRecording], past: _Past, present: frozenset[str]
) -> frozenset[str]:
    """Paths of those recordings of a chain whose former analysis stands.

    It stands when it was of this very chain, or of a longer one whose other recordings are gone or were not asked for: to analyse
    the rest anew would take away what was heard in those. A recording counts by its audio, so that a copied chain is known too.
    """
    finished: defaultdict[str, dict[str, str | None]] = defaultdict(dict)
    for recording in chain:
        path = path_text(recording.path)
        before = known.get(path)
        if before is not None and before.chain_hash is not None and _is_as_it_was(recording, before):
            finished[before.chain_hash][path] = before.audio_hash
    standing: set[str] = set()
    for chain_hash, mine in finished.items():
        alone = set(mine.values()) == {chain_hash}
        members = {} if alone else past[chain_hash]
        others = set(members.values()) - set(mine.values())
        beside = any(audio_hash in others and path in present for path, audio_hash in members.items())
        if (others and not beside) or (not others and len(mine) == len(chain)):
            standing.update(mine)
    return frozenset(standing)


def _chains(known: Mapping[str, KnownRecording]) -> _Past:
    """Recordings that were finished as part of a longer chain, by the hash of that."""
    members: defaultdict[str, dict[str, str | None]] = defaultdict(dict)
    for path, before in known.items():
        if before.chain_hash is not None and before.chain_hash != before.audio_hash:
            members[before.chain_hash][path] = before.audio_hash
    return members


def _is_as_it_was(item: Recording | BadRecording, before: KnownRecording) -> bool:
    return (before.size_bytes, before.mtime_ns) == (item.size_bytes, item.mtime_ns)


def _is_still_bad(item: Recording | BadRecording, known: Mapping[str, KnownRecording]) -> bool:
    """Whether a file was bad, is as it was, and is bad still: one that could not be read for another reason is tried again."""
    before = known.get(path_text(item.path))
    return isinstance(item, BadRecording) and before is not None and before.audio_hash is None and _is_as_it_was(item, before)


def _is_finished(path: Path, before: KnownRecording | None, settings: Settings) -> bool:
    """Whether a file is as it was and its analysis, alone, is finished.

    Where the start time hangs on the settings, the header is read again: they may say something else now.
    """
    if before is None or before.audio_hash is None or before.chain_hash != before.audio_hash:
        return False
    start = before.start
    if start.zone_provenance.startswith("config") or start.provenance.startswith(PATTERN_PROVENANCE):
        return False
    if start.utc_ns is None and (settings.station.zone is not None or settings.recordings.name_pattern is not None):
        return False
    try:
        status = os.stat(path)
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (before.size_bytes, before.mtime_ns)


def _channels(choice: Literal["mix", "each"] | int, chain: Sequence[Recording]) -> list[int | Literal["mix"]]:
    if choice == "each":
        return list(range(1, chain[0].channels + 1))
    return [choice]


def _by_folder(paths: Sequence[Path]) -> Iterator[list[Path]]:
    folders: defaultdict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        folders[path.parent].append(path)
    yield from folders.values()
