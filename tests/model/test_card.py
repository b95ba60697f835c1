"""A card is read strictly; whatever it holds, the answer is a card or a clear error."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import yaml

from detector.config import default_config_text, parse_settings
from detector.errors import BundleError, DetectorError
from detector.model.architecture import look_ahead_samples
from detector.model.bundle import Bundle, bundle_hash
from detector.model.card import Card, card_text, parse_card

SPECIAL = ["", ":", "- ", "{", "[", "*a", "&a ", "!!int ''", "!!timestamp x", "!!python/object:os.system", "? ", "|", ">"]
SPECIAL += ["\t", "\x00", "\ud7ff", "~"]
VALUES = ["nan", "-1", "0", "1e400", "9" * 5000, "0x" + "f" * 5000, "true", "'x'", "[1, 2]", "{a: 1}", "2020-01-01", "1.5", "null"]
VALUES += ['"\\ud800"', "ä" * 300]


def changed(card: Card, **values: object) -> str:
    return yaml.safe_dump(yaml.safe_load(card_text(card)) | values, allow_unicode=True)


def mutated(text: str, rng: random.Random) -> str:
    """The text with one to three small damages: characters, values, lines, keys."""
    for _ in range(rng.randint(1, 3)):
        lines = text.split("\n")
        at = rng.randrange(len(lines))
        kind = rng.randrange(6)
        if kind == 0:
            cut = rng.randrange(len(text) + 1)
            text = text[:cut] + rng.choice([*SPECIAL, chr(rng.randrange(32, 0xD7FF))]) + text[cut + rng.randrange(3) :]
            continue
        if kind == 1 and ":" in lines[at]:
            lines[at] = lines[at].split(":")[0] + ": " + rng.choice(VALUES)
        elif kind == 2:
            del lines[at]
        elif kind == 3:
            lines.insert(at, rng.choice(lines))
        elif kind == 4:
            lines[at] = " " * rng.randrange(6) + lines[at].strip()
        else:
            lines[at] = lines[at].replace("e", rng.choice(SPECIAL), 1)
        text = "\n".join(lines)
    return text


def complaint(read: Callable[[str], object], text: str) -> DetectorError | None:
    """What the reader says against the text; any other error fails the test."""
    try:
        read(text)
    except DetectorError as error:
        return error
    return None


def test_a_thousand_damaged_cards_give_a_card_or_a_clear_error(small: Bundle) -> None:
    rng, text = random.Random(5), card_text(small.card)
    damaged = [mutated(text, rng) for _ in range(1000)]
    complaints = [complaint(parse_card, each) for each in damaged]
    for each, error in zip(damaged, complaints, strict=True):
        if error is None:
            card = parse_card(each)
            assert parse_card(card_text(card)) == card
        else:
            assert error.hint
            assert 0 < len(error.message) < 2000
    assert 20 < complaints.count(None) < 500


def test_a_thousand_damaged_settings_give_settings_or_a_clear_error() -> None:
    rng, text = random.Random(6), "\n".join(line for line in default_config_text().split("\n") if "#" not in line)
    complaints = [complaint(parse_settings, mutated(text, rng)) for _ in range(1000)]
    assert all(error is None or (error.message and error.hint) for error in complaints)
    assert 20 < complaints.count(None) < 500


def test_a_card_survives_being_written_and_read(bundle: Bundle, small: Bundle) -> None:
    for card in (bundle.card, small.card):
        assert parse_card(card_text(card)) == card


def test_an_unknown_key_is_answered_with_the_nearest_one(small: Bundle) -> None:
    with pytest.raises(BundleError, match="unknown key 'licens'") as caught:
        parse_card(changed(small.card, licens="MIT"))
    assert caught.value.hint == "did you mean 'licence'?"
    encoder = small.card.encoder.model_dump(mode="json") | {"dilation": [1]}
    with pytest.raises(BundleError, match=r"unknown key 'encoder\.dilation'") as caught:
        parse_card(changed(small.card, encoder=encoder))
    assert caught.value.hint == "did you mean 'dilations'?"
    heads = {"any": {"hidden": 0, "classes": [{"label": "a", "events": {"treshold": 0.5}}]}}
    with pytest.raises(BundleError) as caught:
        parse_card(changed(small.card, heads=heads))
    assert caught.value.hint == "did you mean 'threshold'?"


def test_a_newer_format_is_refused_with_a_remedy_even_if_nothing_else_is_understood() -> None:
    with pytest.raises(BundleError, match="format version 9") as caught:
        parse_card("format_version: 9\nnetwork: {of: tomorrow}")
    assert "update" in caught.value.hint


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"frame_hop_samples": 81}, "frame_hop_samples is 81, but the numbers of frontend and encoder give 80"),
        ({"look_ahead_samples": 1}, "look_ahead_samples is 1"),
        ({"high_hz": 6000.0}, "high_hz is 6000.0"),
        ({"sample_rate_hz": 8000}, "above half of sample_rate_hz"),
        ({"weights": {}}, "weights has no sha256 of 'encoder.safetensors'"),
        ({"heads": {"../up": {"classes": [{"label": "a"}]}}}, "head name '../up'"),
        ({"heads": {"any": {"classes": [{"label": "a"}, {"label": "a"}]}}}, "class 'a' is named twice"),
        ({"heads": {"any": {"classes": [{"label": "a\nb"}]}}}, "heads.any.classes.0.label"),
        ({"heads": {}}, "heads"),
        ({"licence": ""}, "licence"),
    ],
)
def test_facts_that_do_not_fit_together_are_refused(small: Bundle, values: dict[str, object], message: str) -> None:
    with pytest.raises(BundleError) as caught:
        parse_card(changed(small.card, **values))
    assert message in caught.value.message


def test_a_file_that_is_no_part_of_a_bundle_cannot_be_listed(small: Bundle) -> None:
    with pytest.raises(BundleError, match="no part of a bundle"):
        parse_card(changed(small.card, weights=small.card.weights | {"../../etc/passwd": "0" * 64}))


def test_look_ahead_above_a_second_is_refused(bundle: Bundle) -> None:
    deeper = bundle.card.encoder.model_copy(update={"dilations": (1, 2, 4, 8, 16, 32)})
    n = look_ahead_samples(bundle.card.frontend, deeper)
    with pytest.raises(BundleError, match=r"look-ahead is 1\.\d+ s"):
        parse_card(changed(bundle.card, encoder=deeper.model_dump(mode="json"), look_ahead_samples=n))


def test_aliases_are_refused_before_they_unfold() -> None:
    bomb = "a: &a [x, x]\n" + "\n".join(f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]" for i in range(24))
    with pytest.raises(BundleError, match="aliases"):
        parse_card(bomb)


def test_the_hash_covers_scores_and_borders_and_nothing_else(small: Bundle) -> None:
    card = small.card
    prose = {"measured": {"f1": 0.5}, "name": "other", "licence": "CC0-1.0", "provenance": "x", "attribution": "y"}
    assert bundle_hash(card.model_copy(update=prose)) == small.hash
    first = card.heads["any"].classes[0]
    for field, same in (("threshold", True), ("min_duration_s", False), ("low_logit", False), ("step_filter_s", False)):
        events = first.events.model_copy(update={field: getattr(first.events, field) * 0.9})
        head = card.heads["any"].model_copy(update={"classes": (first.model_copy(update={"events": events}),)})
        assert (bundle_hash(card.model_copy(update={"heads": card.heads | {"any": head}})) == small.hash) is same
    reordered = dict(reversed(list(card.heads.items())))
    assert bundle_hash(card.model_copy(update={"heads": reordered})) != small.hash
    weights = card.weights | {"step.onnx": "0" * 64}
    assert bundle_hash(card.model_copy(update={"weights": weights})) != small.hash
