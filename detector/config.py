"""Settings of the site: config.yaml, read strictly. Facts of a model live in its card, not here."""

from __future__ import annotations

import difflib
import re
import reprlib
from datetime import timedelta, timezone, tzinfo
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from detector.errors import ConfigError

CONFIG_NAME = "config.yaml"
_OFFSET = re.compile(r"(?P<sign>[+-])(?P<hours>[01]\d):(?P<minutes>[0-5]\d)")

PositiveInt = Annotated[int, Field(ge=1, strict=True)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class StationSettings(_Section):
    """The place where a recorder hangs."""

    name: str = Field(default="station", min_length=1, max_length=200)
    latitude: float | None = Field(default=None, ge=-90, le=90)
    longitude: float | None = Field(default=None, ge=-180, le=180)
    time_zone: str | None = None

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None:
            parse_zone(value)
        return value

    @property
    def zone(self) -> tzinfo | None:
        """The zone as an object; None when it is not set."""
        return None if self.time_zone is None else parse_zone(self.time_zone)


class DeploymentSettings(_Section):
    """One recorder at the station for one period."""

    name: str = Field(default="deployment", min_length=1, max_length=200)
    position: str = ""
    recorder: str = ""
    gain_db: float | None = None
    sensitivity_db: float | None = None
    started: str | None = None
    ended: str | None = None
    notes: str = ""


class EngineSettings(_Section):
    """What runs the network."""

    name: Literal["auto", "onnx", "torch"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"


class RecordingsSettings(_Section):
    """How files of an archive are understood."""

    channel: Literal["mix", "each"] | PositiveInt = 1
    gapless: Literal["auto", "always", "never"] = "auto"
    name_pattern: str | None = None


class EventsSettings(_Section):
    """What is kept as a candidate."""

    floor: float = Field(default=0.05, gt=0, lt=1)
    longest_s: float = Field(default=60.0, ge=1, le=3600)
    rate_cap_per_hour: PositiveInt = 3600


class StoreSettings(_Section):
    """Where detections are kept."""

    path: str = Field(default="detections.db", min_length=1)


class ReplaySettings(_Section):
    """How an archive is worked through."""

    workers: Literal["auto"] | PositiveInt = "auto"


class Settings(_Section):
    """All of config.yaml. Every field has a default; an empty file is a valid configuration."""

    station: StationSettings = StationSettings()
    deployment: DeploymentSettings = DeploymentSettings()
    bundle: str = Field(default="default", min_length=1)
    engine: EngineSettings = EngineSettings()
    recordings: RecordingsSettings = RecordingsSettings()
    events: EventsSettings = EventsSettings()
    store: StoreSettings = StoreSettings()
    replay: ReplaySettings = ReplaySettings()


def parse_zone(text: str) -> tzinfo:
    """A time zone from an IANA name or a fixed offset such as "+02:00".

    Raises
    ------
    ConfigError
        If the text is neither.
    """
    if text in ("UTC", "Z"):
        return timezone.utc
    match = _OFFSET.fullmatch(text)
    if match:
        span = timedelta(hours=int(match["hours"]), minutes=int(match["minutes"]))
        return timezone(span if match["sign"] == "+" else -span)
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(
            f"time zone {text!r} is not known",
            "use a name such as Europe/Helsinki, or a fixed offset such as +02:00",
        ) from error


def default_config_text() -> str:
    """The commented config.yaml that the program carries."""
    packaged = resources.files("detector") / "data" / CONFIG_NAME
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return Path(__file__).resolve().parents[1].joinpath(CONFIG_NAME).read_text(encoding="utf-8")


def load_settings(path: Path | None) -> Settings:
    """Settings from a file; the defaults when ``path`` is None.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not YAML, or holds anything that is not a setting.
    """
    if path is None:
        return Settings()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}", "check the path, its permissions, and that it is UTF-8") from error
    return parse_settings(text, str(path))


def parse_settings(text: str, origin: str = CONFIG_NAME) -> Settings:
    """Settings from YAML text.

    Raises
    ------
    ConfigError
        With the place in the text, the value, and the nearest valid key.
    """
    try:
        values = read_yaml(text)
    except ValueError as error:
        raise ConfigError(f"{origin} is not valid YAML: {error}", "compare it with the commented config.yaml of the project") from error
    if values is None:
        return Settings()
    if not isinstance(values, dict):
        raise ConfigError(f"{origin} holds a {type(values).__name__}, not keys with values", "start from the project's config.yaml")
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(*explain_validation(error, Settings, origin)) from error
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error.message}", error.hint) from error


def read_yaml(text: str) -> Any:
    """Plain values from YAML text.

    Raises
    ------
    ValueError
        If it is not YAML. Aliases are refused: a few lines of them unfold to more than any memory holds.
    """
    try:
        return yaml.load(text, Loader=_PlainLoader)
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(str(error)) from error


class _PlainLoader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (a name after *) are not allowed")
        return super().compose_node(parent, index)


def explain_validation(error: ValidationError, model: type[BaseModel], origin: str) -> tuple[str, str]:
    """Message and hint for the first thing that is wrong in a strictly read file.

    Parameters
    ----------
    error : ValidationError
    model : type of BaseModel
        What the file was read as; its keys are offered in the hint.
    origin : str
        Name of the file.
    """
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _keys_at(model, first["loc"][:-1])
        close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known keys here: {', '.join(known)}"
        return f"{origin}: unknown key {place!r}", hint
    message = first["msg"].removeprefix("Value error, ")
    if not place:
        return f"{origin}: {message}", "correct the values so that they agree"
    where = f"see the comment above {place!r} in the project's config.yaml" if origin.endswith(CONFIG_NAME) else f"correct {place!r}"
    return f"{origin}: {place} is {_shown(first.get('input'))}: {message}", where


def _shown(value: Any) -> str:
    """A value in few characters; numbers of thousands of digits have no decimal form in Python."""
    try:
        return reprlib.repr(value)[:80]
    except ValueError:
        return f"a {type(value).__name__}"


def _keys_at(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """Keys allowed at a place, looking through lists and mappings of sections."""
    for part in path:
        field = model.model_fields.get(str(part))
        if field is not None:
            inner = _section_in(field.annotation)
            if inner is None:
                return []
            model = inner
    return sorted(model.model_fields)


def _section_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _section_in(argument)) is not None), None)
