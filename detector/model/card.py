"""The card of a bundle: facts of the model, read strictly. Nothing in config.yaml overrides them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator

from detector.config import explain_validation, read_yaml
from detector.errors import BundleError
from detector.model.architecture import EncoderNumbers, FrontendNumbers, look_ahead_samples

FORMAT_VERSION = 1
CARD_NAME = "card.yaml"
ENCODER_FILE = "encoder.safetensors"
STEP_FILE = "step.onnx"
GOLDEN_FILE = "golden.safetensors"
_LARGEST_CARD_BYTES = 1_000_000
_HEAD_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=1, strict=True)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class EventFacts(_Section):
    """How scores of one class become event boxes, and the threshold it starts with."""

    step_filter_s: float = Field(default=0.04, gt=0, le=60)
    """Length of audio on either side of a change that is compared to find a border."""
    merge_logits: float = Field(default=5.0, ge=0, le=100)
    """Neighbours merge when the weaker one stands out from the gap between them by less than this."""
    join_s: float = Field(default=0.01, ge=0, le=60)
    """Gaps up to this length are always closed: syllables of one call."""
    min_duration_s: float = Field(default=0.02, ge=0, le=60)
    """Shorter boxes are dropped, after merging."""
    low_logit: float = Field(default=-4.0, ge=-50, le=50)
    """Frames at or below this level belong to no event."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Confidence from which a candidate is a detection, until a threshold is tuned on site."""


class ClassCard(_Section):
    """One class of a head."""

    label: Line
    events: EventFacts = EventFacts()


class HeadCard(_Section):
    """One head: a matrix on the frames, or two with ReLU between when ``hidden`` is above 0."""

    hidden: Annotated[int, Field(ge=0, le=65536, strict=True)] = 0
    classes: tuple[ClassCard, ...] = Field(min_length=1, max_length=10_000)

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(entry.label for entry in self.classes)

    @model_validator(mode="after")
    def _distinct(self) -> HeadCard:
        repeated = sorted({label for label in self.labels if self.labels.count(label) > 1})
        if repeated:
            raise ValueError(f"class {repeated[0]!r} is named twice")
        return self


class Card(_Section):
    """All of card.yaml.

    ``frame_hop_samples`` and ``look_ahead_samples`` follow from the numbers; they are written for the reader and checked.
    ``measured`` is free: it holds what the bundle's makers measured, and changes nothing.
    """

    format_version: Count
    name: Line
    licence: Line
    provenance: str = Field(max_length=20_000)
    attribution: str = Field(max_length=20_000)
    sample_rate_hz: Annotated[int, Field(ge=100, le=1_000_000, strict=True)]
    low_hz: float = Field(ge=0)
    high_hz: float = Field(gt=0)
    frame_hop_samples: Count
    look_ahead_samples: Count
    frontend: FrontendNumbers
    encoder: EncoderNumbers
    heads: dict[str, HeadCard] = Field(min_length=1, max_length=100)
    weights: dict[str, Sha256]
    measured: dict[str, JsonValue] = {}

    @field_validator("heads")
    @classmethod
    def _plain_names(cls, heads: dict[str, HeadCard]) -> dict[str, HeadCard]:
        for name in heads:
            if not _HEAD_NAME.fullmatch(name):
                raise ValueError(f"head name {name!r}: use small letters, digits, - and _ (it is also a file name)")
        return heads

    @model_validator(mode="after")
    def _agrees(self) -> Card:
        if self.frontend.high_hz > self.sample_rate_hz / 2:
            raise ValueError(f"frontend.high_hz {self.frontend.high_hz} is above half of sample_rate_hz {self.sample_rate_hz}")
        derived = {
            "low_hz": self.frontend.low_hz,
            "high_hz": self.frontend.high_hz,
            "frame_hop_samples": self.frontend.hop_samples,
            "look_ahead_samples": look_ahead_samples(self.frontend, self.encoder),
        }
        for key, value in derived.items():
            if getattr(self, key) != value:
                raise ValueError(f"{key} is {getattr(self, key)}, but the numbers of frontend and encoder give {value}")
        if self.look_ahead_samples > self.sample_rate_hz:
            raise ValueError(f"look-ahead is {self.look_ahead_samples / self.sample_rate_hz:.2f} s; a student may wait 1 s at most")
        required = {ENCODER_FILE, STEP_FILE, *(head_file(name) for name in self.heads)}
        missing = sorted(required - self.weights.keys())
        extra = sorted(self.weights.keys() - required - {GOLDEN_FILE})
        if missing:
            raise ValueError(f"weights has no sha256 of {missing[0]!r}")
        if extra:
            raise ValueError(f"weights names {extra[0]!r}, which is no part of a bundle")
        return self

    @property
    def frame_hop_s(self) -> float:
        """Length of a score frame in seconds."""
        return self.frame_hop_samples / self.sample_rate_hz

    @property
    def columns(self) -> tuple[tuple[str, ClassCard], ...]:
        """Head and class of every column of the logits, in their order."""
        return tuple((name, entry) for name, head in self.heads.items() for entry in head.classes)


def head_file(name: str) -> str:
    """Where the weights of a head lie in the bundle."""
    return f"heads/{name}.safetensors"


def load_card(path: Path) -> Card:
    """The card of a bundle folder.

    Raises
    ------
    BundleError
        If the file cannot be read or anything in it is not as it should be.
    """
    try:
        if path.stat().st_size > _LARGEST_CARD_BYTES:
            raise BundleError(f"{path} has {path.stat().st_size} bytes; a card is a short text", "this is not the card of a bundle")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"cannot read {path}: {error}", "copy the bundle again") from error
    return parse_card(text, str(path))


def parse_card(text: str, origin: str = CARD_NAME) -> Card:
    """A card from YAML text.

    Raises
    ------
    BundleError
        With the place in the text, the value, and the nearest valid key.
    """
    try:
        values = read_yaml(text)
    except ValueError as error:
        raise BundleError(f"{origin} is not valid YAML: {error}", "copy the bundle again") from error
    if not isinstance(values, dict):
        raise BundleError(f"{origin} holds a {type(values).__name__}, not keys with values", "this is not the card of a bundle")
    version = values.get("format_version")
    if type(version) is int and version > FORMAT_VERSION:
        raise BundleError(
            f"{origin} has format version {version}; this program knows versions up to {FORMAT_VERSION}",
            "update field-detector, or use an older version of the bundle",
        )
    try:
        return Card.model_validate(values)
    except RecursionError as error:
        raise BundleError(f"{origin} is nested too deeply", "this is not the card of a bundle") from error
    except ValidationError as error:
        message, hint = explain_validation(error, Card, origin)
        raise BundleError(message, hint) from error


def card_text(card: Card) -> str:
    """The card as YAML, keys in the order of the class; the same card gives the same text."""
    return yaml.dump(card.model_dump(mode="json"), Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=120)


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True
