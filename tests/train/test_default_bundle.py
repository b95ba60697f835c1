"""The default bundle is what its recipe, card and README say."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from detector.model.bundle import Bundle, load_bundle
from detector.train.assess import LEGEND, table
from detector.train.banks import role_of
from detector.train.corpus import file_hashes, read_corpus
from detector.train.recipe import Recipe

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(MODELS / "default")


def test_the_recipe_names_every_recording_it_used_by_its_hash_and_none_for_tests(shared_audio: Path, default_recipe: Recipe) -> None:
    built = default_recipe.built
    assert built is not None
    with (shared_audio / "split.csv").open(encoding="utf-8", newline="") as stream:
        split = {row["file"]: row["split"] for row in csv.DictReader(stream)}
    assert {split[name] for name in built.data} == {"train"}
    corpus = read_corpus(shared_audio, default_recipe.data)
    used = [file for file in (*corpus.train, *corpus.dev) if role_of(file, default_recipe)]
    assert file_hashes(used) == built.data


def test_the_network_is_the_one_that_the_recipe_describes(bundle: Bundle, default_recipe: Recipe) -> None:
    assert bundle.card.encoder == default_recipe.encoder
    assert bundle.card.frontend == default_recipe.frontend
    assert [entry.label for _, entry in bundle.card.columns] == ["animal"]


def test_everybody_whose_recordings_need_credit_is_named_on_the_card(bundle: Bundle, default_recipe: Recipe, shared_audio: Path) -> None:
    corpus = read_corpus(shared_audio, default_recipe.data)
    for file in (*corpus.train, *corpus.dev):
        if role_of(file, default_recipe):
            assert f"{file.set_name} (" in bundle.card.attribution
            assert file.credit in bundle.card.attribution


def test_the_card_compares_the_bundle_with_both_rivals_on_recordings_it_never_saw(bundle: Bundle) -> None:
    measured = bundle.card.measured
    assert set(measured["mean"]) == {"bundle", "band_energy", "pcen_energy"}
    assert {"zebra_meerkat Meerkat", "zebra_meerkat DAS_zebra_finch", "maad_soundscape"} <= set(measured["events"])
    assert "speech speech_pyannote" in measured["false_per_hour"]
    assert measured["command"].startswith("detector train models/default/recipe.yaml")


def test_the_readme_shows_the_numbers_of_the_card(bundle: Bundle) -> None:
    text = (MODELS / "README.md").read_text(encoding="utf-8")
    assert "detector/model/" in text.splitlines()[0]
    assert table(bundle.card.measured) in text
    assert LEGEND in text
    assert bundle.card.measured["command"] in text


def test_the_curves_of_the_run_lie_beside_it(default_recipe: Recipe) -> None:
    curves = json.loads((MODELS / "default" / "curves.json").read_text(encoding="utf-8"))
    assert default_recipe.built is not None
    assert curves["losses"][-1][0] == default_recipe.built.steps
    assert curves["losses"][-1][1] < curves["losses"][0][1]
