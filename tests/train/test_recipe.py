"""Recipes are read strictly, and written so that they read back the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from detector.errors import TrainingError
from detector.train.recipe import Recipe, load_recipe, recipe_text


def test_a_recipe_reads_back_as_it_was_written(default_recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "resepti.yaml"
    path.write_text(recipe_text(default_recipe), encoding="utf-8")
    assert load_recipe(path) == default_recipe
    assert recipe_text(load_recipe(path)) == recipe_text(default_recipe)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"stepps": 3}, "stepps"),
        ({"fit": {"steps": 0}}, "steps"),
        ({"fit": {"steps": 1.5}}, "steps"),
        ({"fit": {"learning_rate": float("nan")}}, "learning_rate"),
        ({"mixing": {"real_bout": 1.5}}, "real_bout"),
        ({"mixing": {"real_bouts": 0.5}}, "real_bouts"),
        ({"encoder": {"kernel": 4}}, "kernel"),
        ({"data": {"permitted_licences": []}}, "permitted_licences"),
        ({"seed": -1}, "seed"),
    ],
)
def test_wrong_keys_and_values_are_named(tiny_recipe: Recipe, tmp_path: Path, change: dict[str, object], word: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**tiny_recipe.model_dump(mode="json"), **change}), encoding="utf-8")
    with pytest.raises(TrainingError, match=word) as caught:
        load_recipe(path)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "name: \t x: y"])
def test_what_is_no_recipe_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TrainingError):
        load_recipe(path)
    with pytest.raises(TrainingError, match="cannot read"):
        load_recipe(tmp_path / "absent.yaml")
