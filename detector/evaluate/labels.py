"""Labels made by people: Raven selection tables, Audacity label tracks, and a plain CSV.

A label names its recording, as a path or a bare name; `assign_recordings` finds the file that is meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from detector.errors import LabelError

IGNORED = ""
"""What `LabelMap.classify` gives for labels that say neither yes nor no."""


@dataclass(frozen=True, slots=True)
class Label:
    """One labelled event.

    Attributes
    ----------
    recording : str
        As the table names it: a path, a file name, or a name without extension.
    start_s, end_s : float
        From the start of the recording. They may be equal: a point.
    label : str
        Empty when the table has no column for it.
    low_hz, high_hz : float or None
    """

    recording: str
    start_s: float
    end_s: float
    label: str
    low_hz: float | None = None
    high_hz: float | None = None


@dataclass(frozen=True, slots=True)
class LabelTable:
    """What one or more tables say.

    Attributes
    ----------
    labels : tuple of Label
    recordings : tuple of str
        Every recording that a table speaks of, also those in which it labels nothing: an empty table says "no calls here".
    """

    labels: tuple[Label, ...]
    recordings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabelMap:
    """Labels of people to classes of a bundle.

    Attributes
    ----------
    rules : tuple of (str, str or None)
        Pattern (``*`` and ``?``; case does not matter) and the class it means, None for "not one of the classes" (an explicit negative),
        or `IGNORED` for "cannot say". The first that fits decides.
    rest : str or None
        For labels that no pattern fits.
    """

    rules: tuple[tuple[str, str | None], ...] = ()
    rest: str | None = None

    def classify(self, label: str) -> str | None:
        """Class of a label, None for a negative, `IGNORED` for neither."""
        folded = label.casefold()
        return next((meaning for pattern, meaning in self.rules if fnmatchcase(folded, pattern.casefold())), self.rest)


_NOT_ANIMAL = (
    *("not_*", "no_*", "noise*", "ambient", "background", "silence", "speech", "human*", "music"),
    *("rain", "wind", "thunder*", "engine*", "vehicle*", "aircraft", "boat*"),
)


def any_animal(label: str = "animal") -> LabelMap:
    """Every label is the class ``label``, except noise, people and explicit negatives (``not_*``); "unknown" says neither."""
    unsure: tuple[tuple[str, str | None], ...] = (("unk", IGNORED), ("unknown", IGNORED), ("[?]", IGNORED))
    return LabelMap((*((pattern, None) for pattern in _NOT_ANIMAL), *unsure), label)


def assign_recordings(references: Iterable[str], recordings: Sequence[Path]) -> dict[str, Path]:
    """The file that each name in a table means: the one whose path ends with it, with or without its extension.

    Names without a file are left out; so the caller sees which labels have no recording.

    Raises
    ------
    LabelError
        If a name fits several recordings.
    """
    by_name: dict[str, list[Path]] = {}
    for path in recordings:
        for name in {path.name, path.stem}:
            by_name.setdefault(name, []).append(path)
    found = {}
    for reference in sorted(set(references)):
        parts = PurePosixPath(reference.replace("\\", "/")).parts
        fitting = [path for path in by_name.get(parts[-1], []) if _ends_with(path, parts)] if parts else []
        exact = [path for path in fitting if path.name == parts[-1]]
        fitting = exact if exact else fitting
        if not fitting and len(parts) > 1 and _is_absolute(reference):
            fitting = by_name.get(parts[-1], [])
        if len(fitting) > 1:
            listed = ", ".join(str(path) for path in sorted(fitting)[:5])
            raise LabelError(f"{reference!r} fits {len(fitting)} recordings: {listed}", "write more of the path in the table of labels")
        if fitting:
            found[reference] = fitting[0]
    return found


def _ends_with(path: Path, parts: tuple[str, ...]) -> bool:
    return len(parts) == 1 or path.parts[-len(parts) : -1] == parts[:-1]


def _is_absolute(reference: str) -> bool:
    """A path of another computer says no more than its file name."""
    return reference.startswith(("/", "\\")) or reference[1:2] == ":"
