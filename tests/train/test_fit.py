"""Training learns, and a run that was killed ends as one that was not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from detector.errors import TrainingError
from detector.train.banks import Banks, make_banks
from detector.train.fit import Fitter, frame_loss
from detector.train.mixing import Mixer
from detector.train.recipe import Recipe
from detector.train.targets import CALL, IGNORED, QUIET, isolated_targets, span_targets


@pytest.fixture(scope="module")
def banks(tiny_recipe: Recipe) -> Banks:
    return make_banks(tiny_recipe, [], lambda _: None)


def _fitter(recipe: Recipe, banks: Banks, folder: Path) -> Fitter:
    torch.set_num_threads(1)
    mixer = Mixer(banks, recipe.mixing, recipe.frontend, recipe.sample_rate_hz, recipe.seed)
    return Fitter(recipe, mixer, folder, "test", lambda model: (float(model.head.layers[-1].bias.sum()), {"bias": 1.0}))


def test_crops_are_the_same_for_the_same_step_and_differ_between_steps(tiny_recipe: Recipe, banks: Banks) -> None:
    mixer = Mixer(banks, tiny_recipe.mixing, tiny_recipe.frontend, tiny_recipe.sample_rate_hz, 1)
    first, again, other = mixer.batch(3, 4), mixer.batch(3, 4), mixer.batch(4, 4)
    assert torch.equal(first.features, again.features)
    assert torch.equal(first.targets, again.targets)
    assert not torch.equal(first.features, other.features)
    assert first.features.shape == (4, 300, 24)
    assert torch.isfinite(first.features).all()
    assert set(first.targets.unique().tolist()) <= {QUIET, CALL, IGNORED}


def test_calls_in_crops_stand_out_where_the_targets_say(tiny_recipe: Recipe, banks: Banks) -> None:
    mixer = Mixer(banks, tiny_recipe.mixing, tiny_recipe.frontend, tiny_recipe.sample_rate_hz, 1)
    louder = []
    for step in range(10):
        batch = mixer.batch(step, 4)
        for features, valid, targets in zip(batch.features, batch.valid, batch.targets, strict=True):
            call, quiet = (targets == CALL) & (valid > 0), (targets == QUIET) & (valid > 0)
            if call.sum() > 5 and quiet.sum() > 5:
                louder.append(bool(features[call].amax(1).mean() > features[quiet].amax(1).mean()))
    assert len(louder) > 20
    assert np.mean(louder) > 0.9


def test_twenty_steps_make_the_loss_smaller(tiny_recipe: Recipe, banks: Banks, tmp_path: Path) -> None:
    eager = tiny_recipe.model_copy(update={"fit": tiny_recipe.fit.model_copy(update={"learning_rate": 0.015, "batch": 8})})
    fitter = _fitter(eager, banks, tmp_path / "run")
    unseen = [fitter.mixer.batch(step, 4) for step in range(1000, 1004)]

    def loss() -> float:
        with torch.no_grad():
            return float(np.mean([float(frame_loss(fitter.model(each.features, each.valid), each, 1.0)) for each in unseen]))

    before = loss()
    assert fitter.run(until=20).step == 20
    assert loss() < 0.85 * before


def test_a_run_that_was_killed_ends_bit_equal(tiny_recipe: Recipe, banks: Banks, tmp_path: Path) -> None:
    whole = _fitter(tiny_recipe, banks, tmp_path / "whole")
    whole.run(until=16)
    _fitter(tiny_recipe, banks, tmp_path / "killed").run(until=7)
    resumed = _fitter(tiny_recipe, banks, tmp_path / "killed")
    assert resumed.progress.step == 7
    resumed.run(until=16)
    assert resumed.progress.losses[-1][0] == 16
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    for name, value in whole.average.state_dict().items():
        assert torch.equal(value, resumed.average.state_dict()[name]), name
    assert [j[:2] for j in whole.progress.judgements] == [tuple(j[:2]) for j in resumed.progress.judgements]
    assert all(torch.equal(whole.best[name], resumed.best[name]) for name in whole.best)


def test_a_kill_while_the_checkpoint_is_replaced_loses_nothing(tiny_recipe: Recipe, banks: Banks, tmp_path: Path) -> None:
    _fitter(tiny_recipe, banks, tmp_path / "run").run(until=3)
    (tmp_path / "run").rename(tmp_path / "run.new")
    assert _fitter(tiny_recipe, banks, tmp_path / "run").progress.step == 3


def test_a_checkpoint_of_another_recipe_or_a_damaged_one_is_refused(tiny_recipe: Recipe, banks: Banks, tmp_path: Path) -> None:
    _fitter(tiny_recipe, banks, tmp_path / "run").run(until=2)
    path = tmp_path / "run" / "progress.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "identity": "another"}))
    with pytest.raises(TrainingError, match="another recipe"):
        _fitter(tiny_recipe, banks, tmp_path / "run")
    path.write_text("{")
    with pytest.raises(TrainingError) as caught:
        _fitter(tiny_recipe, banks, tmp_path / "run")
    assert "delete" in caught.value.hint


def test_training_stops_when_judgements_get_no_better(tiny_recipe: Recipe, banks: Banks, tmp_path: Path) -> None:
    impatient = tiny_recipe.model_copy(update={"fit": tiny_recipe.fit.model_copy(update={"judge_every": 2, "patience": 2})})
    mixer = Mixer(banks, impatient.mixing, impatient.frontend, impatient.sample_rate_hz, 0)
    scores = iter([0.5, 0.4, 0.3, 0.9])
    fitter = Fitter(impatient, mixer, tmp_path / "run", "test", lambda _: (next(scores), {}))
    assert fitter.run().step == 6
    assert fitter.progress.best_step == 2


def test_banks_without_calls_or_backgrounds_are_refused(tiny_recipe: Recipe, banks: Banks) -> None:
    empty = Banks((), (), (), banks.synthetic_backgrounds, (), ())
    silent = Banks(banks.synthetic_calls, (), (), (), (), ())
    for bad, word in ((empty, "no call"), (silent, "no background")):
        with pytest.raises(TrainingError, match=word):
            Mixer(bad, tiny_recipe.mixing, tiny_recipe.frontend, tiny_recipe.sample_rate_hz, 0)


def test_even_a_click_shorter_than_a_frame_has_a_target() -> None:
    targets = span_targets(20, 0.005, [(0.0501, 0.0502), (0.07, 0.08)])
    assert np.flatnonzero(targets).tolist() == [10, 14, 15]


def test_isolated_calls_are_told_by_level_and_what_is_not_clear_is_ignored(tiny_recipe: Recipe) -> None:
    numbers = tiny_recipe.frontend
    level_db = np.full(200, -80.0)
    level_db[50:80] = -20.0
    level_db[80:90] = -45.0
    features = np.repeat(((level_db - numbers.mean_db) / numbers.std_db)[:, None], 24, axis=1).astype(np.float32)
    targets = isolated_targets(features, numbers, 0.01)
    assert targets is not None
    assert np.flatnonzero(targets == CALL).tolist() == list(range(50, 80))
    assert np.flatnonzero(targets == IGNORED).tolist() == list(range(80, 90))
    steady = np.repeat(features[50:51], 500, axis=0)
    assert isolated_targets(steady, numbers, 0.01) is None
