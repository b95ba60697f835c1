"""Recordings that may be trained on: read from the tables of an audio folder, refused when the licence or the split says so.

A folder holds ``split.csv`` (file, split, use), ``annotations_all.csv`` (file, start_s, end_s, low_hz, high_hz, label, set),
``clips_all.csv`` (file, label, set) and, in a set's own folder, a ``clips.csv`` that may give a licence per file.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from detector.errors import TrainingError
from detector.train.recipe import DataRecipe, SetRecipe

TRAIN, TEST = "train", "test"


@dataclass(frozen=True, slots=True)
class Annotation:
    """One labelled span of a file."""

    start_s: float
    end_s: float
    label: str
    animal: bool
    """False where the label says that there is none."""


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """One recording and what is known about it.

    Attributes
    ----------
    name : str
        Path under the audio folder, with slashes.
    path : Path
    set_name, split, use, label, licence, credit : str
        ``label`` is empty for files without a clip label, ``credit`` (author and source) where the set's table names none.
    annotations : tuple of Annotation
    complete : bool
        Everything that calls is annotated.
    """

    name: str
    path: Path
    set_name: str
    split: str
    use: str
    label: str
    licence: str
    credit: str
    annotations: tuple[Annotation, ...]
    complete: bool

    @property
    def group(self) -> str:
        """Set and label: about one species or kind of noise."""
        return f"{self.set_name}:{self.label}" if self.label else self.set_name


@dataclass(frozen=True, slots=True)
class Corpus:
    """What a recipe may use of an audio folder: ``train`` and ``dev`` never share a file, and neither holds a file of the test split."""

    train: tuple[CorpusFile, ...]
    dev: tuple[CorpusFile, ...]


def read_corpus(folder: Path, recipe: DataRecipe) -> Corpus:
    """Files that the recipe's sets, the split and the licences allow.

    Raises
    ------
    TrainingError
        If a table or a set is missing, or a set names a licence that is not permitted.
    """
    for entry in recipe.sets:
        if not permitted(entry.licence, recipe.permitted_licences):
            raise TrainingError(
                f"set {entry.name!r} has the licence {entry.licence!r}, which is not permitted",
                f"permitted: {', '.join(recipe.permitted_licences)}; remove the set from the recipe",
            )
    files = [
        file
        for file in _files(folder, {entry.name: entry for entry in recipe.sets})
        if file.split == TRAIN and permitted(file.licence, recipe.permitted_licences) and not _matches(file.name, recipe.exclude)
    ]
    present = {file.set_name for file in files}
    for entry in recipe.sets:
        if entry.name not in present:
            raise TrainingError(f"{folder} has no training file of the set {entry.name!r}", "check --audio and the recipe's data.sets")
    dev = [file for file in files if _matches(file.name, recipe.dev)]
    train = [file for file in files if not _matches(file.name, recipe.dev)]
    return Corpus(tuple(train), tuple(dev))


def read_test_files(folder: Path, sets: Mapping[str, SetRecipe]) -> list[CorpusFile]:
    """Files of the test split, for evaluation only; sets that a recipe does not train on are taken as completely labelled."""
    return [file for file in _files(folder, sets, only_named=False) if file.split == TEST]


def permitted(licence: str, allowed: Iterable[str]) -> bool:
    """Whether every licence that a text names is allowed.

    "CC BY 4.0" is allowed by "CC BY", "BSD-3-Clause" by "BSD". Share-alike, non-commercial and no-derivatives never are.
    """
    words = licence.upper().replace("-", " ").split()
    if not words or any(word in ("SA", "NC", "ND", "GPL") for word in words):
        return False
    parts = [part.split() for part in " ".join(words).split(" / ")]
    known = [name.upper().replace("-", " ").split() for name in allowed]
    return all(any(part[: len(name)] == name for name in known) for part in parts)


def file_hashes(files: Iterable[CorpusFile]) -> dict[str, str]:
    """SHA-256 of each file by its name, in order of the names."""
    return {file.name: hashlib.sha256(file.path.read_bytes()).hexdigest() for file in sorted(files, key=lambda one: one.name)}


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _files(folder: Path, sets: Mapping[str, SetRecipe], only_named: bool = True) -> list[CorpusFile]:
    annotations = _annotations(folder, sets)
    labels = {row["file"]: row["label"] for row in _rows(folder / "clips_all.csv", ("file", "label"))}
    tables = {name: _own_table(folder, name) for name in sets}
    found = []
    for row in _rows(folder / "split.csv", ("file", "split", "use")):
        name = row["file"]
        set_name = name.split("/", 1)[0]
        entry = sets.get(set_name)
        if entry is None and only_named:
            continue
        if row["split"] not in (TRAIN, TEST):
            raise TrainingError(f"split.csv says {row['split']!r} for {name}", f"it must say {TRAIN!r} or {TEST!r}")
        path = folder / name
        if not path.is_file():
            raise TrainingError(f"split.csv names {name}, which is not in {folder}", "copy the audio folder again")
        licence, credit = ("", "") if entry is None else tables[set_name].get(path.name, (entry.licence, ""))
        found.append(
            CorpusFile(
                name=name,
                path=path,
                set_name=set_name,
                split=row["split"],
                use=row["use"],
                label=labels.get(name, ""),
                licence=licence,
                credit=credit,
                annotations=annotations.get(name, ()),
                complete=entry is None or entry.complete,
            )
        )
    return found


def _annotations(folder: Path, sets: Mapping[str, SetRecipe]) -> dict[str, tuple[Annotation, ...]]:
    found: dict[str, list[Annotation]] = {}
    for row in _rows(folder / "annotations_all.csv", ("file", "start_s", "end_s", "label")):
        entry = sets.get(row["file"].split("/", 1)[0])
        animal = entry is None or row["label"] not in entry.negative_labels
        try:
            start_s, end_s = float(row["start_s"]), float(row["end_s"])
        except ValueError as error:
            raise TrainingError(f"annotations_all.csv: times of {row['file']} are no numbers: {error}", "correct the table") from error
        found.setdefault(row["file"], []).append(Annotation(start_s, end_s, row["label"], animal))
    return {name: tuple(sorted(rows, key=lambda one: (one.start_s, one.end_s))) for name, rows in found.items()}


def _own_table(folder: Path, set_name: str) -> dict[str, tuple[str, str]]:
    """Licence and credit per file name, where the set's own table gives licences."""
    table = folder / set_name / "clips.csv"
    if not table.is_file():
        return {}
    rows = [row for row in _rows(table, ("file",)) if row.get("licence")]
    return {row["file"]: (row["licence"], row.get("author") or "") for row in rows}


def _rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise TrainingError(f"{path} has no column {missing[0]!r}", f"it needs {', '.join(columns)}")
            return list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"cannot read {path}: {error}", "the folder needs split.csv, annotations_all.csv, clips_all.csv") from error
