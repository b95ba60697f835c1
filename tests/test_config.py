"""config.yaml is strict, complete and true: what it shows is what the program does."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from detector.config import (
    CONFIG_NAME,
    DeploymentSettings,
    Settings,
    StationSettings,
    default_config_text,
    load_settings,
    parse_settings,
    parse_zone,
)
from detector.errors import ConfigError
from detector.store.reader import open_reader
from detector.store.store import Store

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "detector"


def leaves(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found += leaves(annotation, (*prefix, name))
        else:
            found.append((*prefix, name))
    return found


def test_config_yaml_equals_the_defaults_of_the_code() -> None:
    shown = parse_settings((ROOT / CONFIG_NAME).read_text(encoding="utf-8"))
    assert shown == Settings()


def test_config_yaml_shows_every_setting() -> None:
    shown = yaml.safe_load(default_config_text())
    for leaf in leaves(Settings):
        value = shown
        for key in leaf:
            assert key in value, ".".join(leaf)
            value = value[key]


def attributes_read() -> set[str]:
    """Names of all attributes that the program reads, outside the definition of the settings."""
    names = set()
    for path in PACKAGE.rglob("*.py"):
        if path.name == "config.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                names.add(node.attr)
    return names


def test_no_setting_is_a_dead_knob() -> None:
    # The time zone is read through StationSettings.zone; the deployment is stored whole, see the next test.
    read = attributes_read() | {"time_zone"}
    assert "zone" in read
    dead = [".".join(leaf) for leaf in leaves(Settings) if leaf[-1] not in read and leaf[0] != "deployment"]
    assert dead == []


def test_everything_that_is_said_of_a_deployment_is_stored(tmp_path: Path) -> None:
    said = {
        "name": "spring",
        "position": "oak, 4 m, facing north",
        "recorder": "AudioMoth 1.2.0",
        "gain_db": 30.5,
        "sensitivity_db": -18.0,
        "started": "2026-04-01",
        "ended": "2026-07-31",
        "notes": "hyvä paikka",
    }
    assert set(said) == set(DeploymentSettings.model_fields)
    with Store(tmp_path / "x.db") as store:
        store.ensure_deployment(store.ensure_station(StationSettings()), DeploymentSettings.model_validate(said))
    with open_reader(tmp_path / "x.db") as db:
        (row,) = db.query("SELECT * FROM deployment")
    assert {name: row[name] for name in said} == said


def test_an_unknown_key_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings("station:\n  nmae: oak\n")
    assert "station.nmae" in caught.value.message
    assert caught.value.hint == "did you mean 'name'?"


def test_a_value_that_is_not_allowed_is_shown_with_its_place() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings("events:\n  floor: 1.5\n", "site.yaml")
    assert caught.value.message.startswith("site.yaml: events.floor is 1.5")


def test_an_empty_file_means_the_defaults() -> None:
    assert parse_settings("") == Settings()


def test_settings_in_another_alphabet_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "äänitys.yaml"
    path.write_text("station:\n  name: 'Räkkylä \"suo\" 沼'\n", encoding="utf-8")
    assert load_settings(path).station.name == 'Räkkylä "suo" 沼'


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_settings(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(("text", "seconds"), [("+02:00", 7200), ("-03:30", -12600), ("UTC", 0)])
def test_a_zone_may_be_a_fixed_offset(text: str, seconds: int) -> None:
    offset = parse_zone(text).utcoffset(None)
    assert offset is not None
    assert offset.total_seconds() == seconds


@pytest.mark.parametrize("text", ["Helsinki", "+25:00", "../etc", "", "+2"])
def test_a_zone_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_zone(text)


DEFAULT_TEXT = default_config_text()
PIECES = st.text(max_size=12) | st.sampled_from([": ", "\n  ", "- ", "{", "&a *a", "!!python/object:os.system", "1e999"])


@st.composite
def mutated_config(draw: st.DrawFn) -> str:
    """config.yaml with a few pieces cut, doubled or replaced."""
    text = DEFAULT_TEXT
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        end = at + draw(st.integers(0, 40))
        text = text[:at] + draw(PIECES) + text[end:]
    return text


def outcome(text: str) -> str:
    """"read", or the message of the one error that is allowed."""
    try:
        parse_settings(text)
    except ConfigError as error:
        return error.message
    return "read"


@settings(max_examples=1000, deadline=None)
@given(mutated_config())
def test_a_thousand_mutated_configs_are_read_or_refused_clearly(text: str) -> None:
    result = outcome(text)
    assert result == "read" or result.startswith(("config.yaml", "time zone"))
