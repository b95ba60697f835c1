"""The corpus gives training nothing that the split or a licence forbids."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from detector.errors import TrainingError
from detector.train.banks import role_of
from detector.train.corpus import permitted, read_corpus, read_test_files
from detector.train.recipe import DataRecipe, Recipe

PERMITTED = ("CC0", "CC BY", "MIT", "BSD", "public domain")


def test_no_file_of_the_test_split_is_ever_trained_or_tuned_on(shared_audio: Path, default_recipe: Recipe) -> None:
    with (shared_audio / "split.csv").open(encoding="utf-8", newline="") as stream:
        split = {row["file"]: row["split"] for row in csv.DictReader(stream)}
    corpus = read_corpus(shared_audio, default_recipe.data)
    assert len(corpus.train) > 200
    assert len(corpus.dev) > 100
    for file in (*corpus.train, *corpus.dev):
        assert split[file.name] == "train"
    assert not {file.name for file in corpus.train} & {file.name for file in corpus.dev}
    tested = read_test_files(shared_audio, {entry.name: entry for entry in default_recipe.data.sets})
    assert tested
    assert all(split[file.name] == "test" for file in tested)


def test_no_file_under_a_licence_that_is_not_permitted_is_trained_on(shared_audio: Path, default_recipe: Recipe) -> None:
    corpus = read_corpus(shared_audio, default_recipe.data)
    names = [file.name for file in (*corpus.train, *corpus.dev)]
    assert all(permitted(file.licence, PERMITTED) for file in (*corpus.train, *corpus.dev))
    assert set(default_recipe.data.permitted_licences) == set(PERMITTED)
    for word in ("pink-noise", "white-noise", "crow_caw", "opensoundscape", "zebra_meerkat", "field_borneo", "birdvox", "GWWA", "XC"):
        assert not [name for name in names if word in name]


def test_the_development_set_has_eight_species_and_real_noise(shared_audio: Path, default_recipe: Recipe) -> None:
    corpus = read_corpus(shared_audio, default_recipe.data)
    roles = [(file, role_of(file, default_recipe)) for file in corpus.dev]
    assert len({file.group for file, role in roles if role in ("calls", "recording")}) >= 8
    assert len([file for file, role in roles if role == "noise"]) >= 10
    trained_species = {file.group for file in corpus.train if role_of(file, default_recipe) == "calls"}
    unseen = {file.group for file, role in roles if role == "calls"} - trained_species
    assert len(unseen) >= 8


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC0", True),
        ("CC BY 3.0", True),
        ("CC BY 4.0", True),
        ("CC0 / CC BY", True),
        ("MIT", True),
        ("BSD-3-Clause", True),
        ('public domain ("Gemeinfrei")', True),
        ("CC BY-SA 4.0", False),
        ("CC BY-NC 4.0", False),
        ("CC0 / CC BY-SA", False),
        ("CC BY-NC-ND", False),
        ("GPL-3.0", False),
        ("apache-2.0", False),
        ("none", False),
        ("", False),
    ],
)
def test_only_permitted_licences_pass(licence: str, expected: bool) -> None:
    assert permitted(licence, PERMITTED) is expected


def test_a_set_with_a_licence_that_is_not_permitted_is_refused(tmp_path: Path) -> None:
    recipe = DataRecipe.model_validate(
        {"permitted_licences": ["CC0"], "sets": [{"name": "birds", "licence": "CC BY-NC 4.0", "attribution": "somebody"}]}
    )
    with pytest.raises(TrainingError, match="CC BY-NC"):
        read_corpus(tmp_path, recipe)


@pytest.fixture
def small_folder(tmp_path: Path) -> Path:
    """Three files of one set, one of them for tests and one share-alike by its own table."""
    for name in ("a", "b", "c"):
        path = tmp_path / "lintuja ja ääniä" / "audio" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    rows = [f"lintuja ja ääniä/audio/{name}.wav,{split},events" for name, split in (("a", "train"), ("b", "test"), ("c", "train"))]
    (tmp_path / "split.csv").write_text("\n".join(["file,split,use", *rows]) + "\n", encoding="utf-8")
    (tmp_path / "annotations_all.csv").write_text(
        "file,start_s,end_s,low_hz,high_hz,label,set\nlintuja ja ääniä/audio/a.wav,1.5,2.0,,,varis,x\n", encoding="utf-8"
    )
    (tmp_path / "clips_all.csv").write_text("file,label,set\n", encoding="utf-8")
    (tmp_path / "lintuja ja ääniä" / "clips.csv").write_text("file,licence\nc.wav,CC BY-SA 4.0\n", encoding="utf-8")
    return tmp_path


SMALL = DataRecipe.model_validate(
    {"permitted_licences": ["CC0"], "sets": [{"name": "lintuja ja ääniä", "licence": "CC0", "attribution": "joku"}]}
)


def test_any_folder_with_these_tables_can_be_read(small_folder: Path) -> None:
    corpus = read_corpus(small_folder, SMALL)
    assert [file.name for file in corpus.train] == ["lintuja ja ääniä/audio/a.wav"]
    assert [(one.start_s, one.end_s, one.animal) for one in corpus.train[0].annotations] == [(1.5, 2.0, True)]


@pytest.mark.parametrize("table", ["split.csv", "annotations_all.csv", "clips_all.csv"])
def test_a_missing_table_is_named(small_folder: Path, table: str) -> None:
    (small_folder / table).unlink()
    with pytest.raises(TrainingError, match=table):
        read_corpus(small_folder, SMALL)


def test_a_missing_recording_or_set_is_named(small_folder: Path) -> None:
    other = DataRecipe.model_validate({"permitted_licences": ["CC0"], "sets": [{"name": "frogs", "licence": "CC0", "attribution": "x"}]})
    with pytest.raises(TrainingError, match="frogs"):
        read_corpus(small_folder, other)
    shutil.rmtree(small_folder / "lintuja ja ääniä" / "audio")
    with pytest.raises(TrainingError, match=r"a\.wav"):
        read_corpus(small_folder, SMALL)


def test_a_split_that_is_neither_train_nor_test_is_refused(small_folder: Path) -> None:
    text = (small_folder / "split.csv").read_text(encoding="utf-8").replace(",test,", ",validation,")
    (small_folder / "split.csv").write_text(text, encoding="utf-8")
    with pytest.raises(TrainingError, match="validation"):
        read_corpus(small_folder, SMALL)


def test_numbers_that_are_none_are_refused(small_folder: Path) -> None:
    (small_folder / "annotations_all.csv").write_text("file,start_s,end_s,label\nlintuja ja ääniä/audio/a.wav,x,2,y\n", encoding="utf-8")
    with pytest.raises(TrainingError, match="no numbers"):
        read_corpus(small_folder, SMALL)
