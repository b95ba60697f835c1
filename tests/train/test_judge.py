"""Judging: candidates on the development set, event settings, and rivals on held-out recordings."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from detector.errors import TrainingError
from detector.model.card import EventFacts
from detector.train.assess import HeldOutFile, Rival, assess, held_out_files, table
from detector.train.corpus import Annotation, CorpusFile, read_test_files
from detector.train.devset import DevItem, make_dev_items, target_spans
from detector.train.judge import find_events, judge, tune_events
from detector.train.listener import Listener
from detector.train.recipe import Recipe, TuneRecipe
from detector.train.targets import CALL, IGNORED, QUIET

RATE = 16_000
FACTS = EventFacts(step_filter_s=0.02, merge_logits=2.0, join_s=0.0, min_duration_s=0.01, low_logit=-4.0)


def _item(name: str, group: str, seconds: float, events: tuple[tuple[float, float], ...]) -> DevItem:
    return DevItem(name, group, np.zeros(round(seconds * RATE), np.float32), events, ())


def _logits(seconds: float, events: tuple[tuple[float, float], ...], height: float = 4.0) -> np.ndarray:
    scores = np.full(round(seconds / 0.01), -8.0, np.float32)
    for start, end in events:
        scores[round(start / 0.01) : round(end / 0.01)] = height
    return scores


EVENTS = ((1.0, 1.2), (2.0, 2.5), (4.0, 4.1))
ITEMS = [_item("a", "frog", 6.0, EVENTS), _item("b", "owl", 6.0, EVENTS), _item("c", "negative", 60.0, ())]


def test_perfect_scores_are_judged_perfect() -> None:
    logits = [_logits(6.0, EVENTS), _logits(6.0, EVENTS), _logits(60.0, ())]
    judgement = judge(ITEMS, [find_events(each, FACTS, 0.01) for each in logits], RATE, [0.0])
    assert judgement.ap30 == {"frog": 1.0, "owl": 1.0}
    assert judgement.ap50 == {"frog": 1.0, "owl": 1.0}
    assert judgement.score == pytest.approx(1.0)
    assert judgement.false_per_hour == 0.0


def test_the_strict_threshold_keeps_false_events_rare_and_the_balanced_one_does_not_care() -> None:
    noise = tuple((float(second), second + 0.2) for second in range(1, 41))
    logits = [_logits(6.0, EVENTS, 2.0), _logits(6.0, EVENTS, 6.0), _logits(60.0, noise, 3.0)]
    found = [find_events(each, FACTS, 0.01) for each in logits]
    strict = judge(ITEMS, found, RATE, [1.0, 4.0])
    balanced = judge(ITEMS, found, RATE, [1.0, 4.0], math.inf)
    assert (strict.threshold, strict.false_per_hour, strict.f1) == (4.0, 0.0, {"frog": 0.0, "owl": 1.0})
    assert (balanced.threshold, balanced.f1) == (1.0, {"frog": 1.0, "owl": 1.0})
    assert balanced.false_per_hour == pytest.approx(2400.0)


def test_recordings_that_people_annotated_have_half_of_the_weight() -> None:
    logits = [_logits(6.0, EVENTS), _logits(6.0, ()), _logits(6.0, ()), _logits(60.0, ())]
    items = [replace(ITEMS[0], annotated=True), ITEMS[1], _item("d", "toad", 6.0, EVENTS), ITEMS[2]]
    judgement = judge(items, [find_events(each, FACTS, 0.01) for each in logits], RATE, [0.0])
    assert judgement.weights == {"frog": 0.5, "owl": 0.25, "toad": 0.25}
    assert judgement.score == pytest.approx(0.5)


def test_tuning_finds_the_settings_that_keep_syllables_apart() -> None:
    events = tuple((at, at + 0.1) for at in np.arange(1.0, 5.0, 0.13).round(2).tolist())
    items = [_item("a", "finch", 6.0, events), _item("n", "negative", 60.0, ())]
    logits = [_logits(6.0, events), _logits(60.0, ())]
    grid = TuneRecipe(step_filter_s=(0.02,), merge_logits=(2.0,), join_s=(0.1, 0.0), min_duration_s=(0.01,), low_logit=(-4.0,))
    tuned = tune_events(items, logits, 0.01, RATE, grid)
    assert tuned.facts.join_s == 0.0
    assert tuned.judgement.ap50["finch"] == 1.0
    assert 0.0 < tuned.facts.threshold < 1.0


def test_a_shift_that_hides_the_calls_is_not_taken() -> None:
    logits = [_logits(item.samples.size / RATE, item.events) for item in ITEMS]
    grid = TuneRecipe(shift_logits=(-7.5, 0.0), step_filter_s=(0.02,), merge_logits=(2.0,), join_s=(0.0,), min_duration_s=(0.01,))
    tuned = tune_events(ITEMS, logits, 0.01, RATE, grid)
    assert tuned.shift_logits == 0.0
    assert tuned.judgement.score == pytest.approx(1.0)


def test_unknown_frames_between_call_frames_do_not_cut_a_call_but_longer_ones_do() -> None:
    targets = np.full(100, QUIET, np.uint8)
    targets[10:20], targets[20:25], targets[25:30] = CALL, IGNORED, CALL
    targets[50:60], targets[60:90], targets[90:95] = CALL, IGNORED, CALL
    events, ignored = target_spans(targets, 0.01)
    assert events == ((0.1, 0.3), (0.5, 0.6), (0.9, 0.9500000000000001))
    assert ignored == ((0.6, 0.9),)


def test_the_quick_network_is_the_network(tiny_recipe: Recipe) -> None:
    torch.manual_seed(3)
    quick, plain = Listener(tiny_recipe, quick=True), Listener(tiny_recipe)
    plain.load_state_dict(quick.state_dict())
    features, valid = torch.randn(2, 173, 24), torch.ones(2, 173)
    with torch.no_grad():
        assert torch.allclose(quick(features, valid), plain(features, valid), atol=1e-5)


def test_a_development_set_plants_unseen_calls_where_it_says(shared_audio: Path, default_recipe: Recipe) -> None:
    wanted = ("antum_sounds/audio/quail.ogg", "antum_sounds/audio/wind.ogg", "speech_pyannote/audio/dev01.wav")
    files = [_file(shared_audio, name) for name in wanted]
    items = make_dev_items(default_recipe, files)
    assert [item.group for item in items] == ["antum_sounds:animal:quail", "negative", "negative"]
    planted = items[0]
    assert len(planted.events) >= 5
    assert all(0.0 < start < end < 25.0 for start, end in planted.events)
    again = make_dev_items(default_recipe, files)[0]
    assert np.array_equal(planted.samples, again.samples)
    with pytest.raises(TrainingError, match="no calls or no noise"):
        make_dev_items(default_recipe, files[:1])


def _file(folder: Path, name: str) -> CorpusFile:
    set_name = name.split("/", 1)[0]
    use, label = {"quail": ("weak animal", "animal:quail"), "wind": ("weak noise", "background:wind")}.get(Path(name).stem, ("speech", ""))
    return CorpusFile(name, folder / name, set_name, "train", use, label, "CC0", "", (), True)


def test_rivals_are_compared_on_held_out_recordings_only(shared_audio: Path, default_recipe: Recipe) -> None:
    named = {entry.name: entry for entry in default_recipe.data.sets}
    files = held_out_files(default_recipe, read_test_files(shared_audio, named))
    groups = {one.group for one in files if not one.negative}
    assert {"maad_soundscape", "pykanto great_tit", "zebra_meerkat Meerkat", "zebra_meerkat DAS_zebra_finch", "songexplorer"} <= groups
    quiet = {one.group for one in files if one.negative}
    assert {"speech speech_pyannote", "background field_borneo", "noise esc10", "noise yellowstone_nps"} <= quiet
    assert not [one.file.name for one in files if one.negative and ("hornbill" in one.file.label or "argus" in one.file.label)]
    songs = [one for one in files if one.group == "pykanto great_tit"][:2]
    chosen = [*songs, *[one for one in files if one.group == "speech speech_pyannote"][:1]]
    spans = {len(_read(one)): one.spans for one in chosen}

    def from_labels(samples: np.ndarray, sample_rate_hz: int) -> tuple[tuple[float, float, float], ...]:
        return tuple((start, end, 3.0) for start, end in spans[len(samples)])

    perfect = Rival("perfect", from_labels, {"strict": 0.0, "balanced": 0.0}, {}, {})
    noisy = Rival("noisy", lambda samples, rate: ((0.0, 0.1, 1.0), (0.5, 0.6, 1.0)), {"strict": 2.0, "balanced": 0.0}, {}, {})
    measured = assess([perfect, noisy], chosen, lambda _: None)
    assert measured["events"]["pykanto great_tit"]["perfect"]["ap50"][0] == 1.0
    assert measured["events"]["pykanto great_tit"]["noisy"]["balanced"]["f1"][0] == 0.0
    assert measured["false_per_hour"]["speech speech_pyannote"]["noisy"] == {"strict": 0.0, "balanced": 240.0}
    assert measured["mean"]["perfect"]["strict"] == {"f1": 1.0, "false_per_hour": 0.0}
    assert "| pykanto great_tit, 2 calls | 1.00 / 1.00 / 1.00 / 1.00 | 0.00 / 0.00 / 0.00 / 0.00 |" in table(measured)


def _read(one: HeldOutFile) -> np.ndarray:
    from detector.train.hearing import native_audio

    return native_audio(one.file.path)[0]


def test_a_label_without_a_species_prefix_is_a_group_of_its_set(shared_audio: Path, default_recipe: Recipe) -> None:
    file = CorpusFile("x/a.wav", shared_audio, "x", "test", "events", "", "", "", (Annotation(0.0, 1.0, "call", True),), True)
    assert held_out_files(default_recipe, [file]) == [HeldOutFile(file, "x", False, ((0.0, 1.0),))]
