"""The recipe of a bundle: data, synthesis, mixing, network, steps and seed, read strictly from YAML.

The same file is input and record. A finished training run adds ``built``: hashes of the data, losses, time and code version.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from detector.config import explain_validation
from detector.errors import TrainingError
from detector.model.architecture import EncoderNumbers, FrontendNumbers

RECIPE_NAME = "recipe.yaml"

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, strict=True)]
Amount = Annotated[int, Field(ge=0, strict=True)]
Range = tuple[float, float]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SetRecipe(_Section):
    """One set of recordings: a folder under ``--audio``."""

    name: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    """Of every file, unless the set's own clips.csv gives one per file."""
    attribution: str = Field(min_length=1)
    negative_labels: tuple[str, ...] = ()
    """Annotated labels that say "no animal here"."""
    complete: bool = True
    """False: what is not annotated is unknown, not silence."""
    isolated_calls: bool = False
    """Its "weak animal" files are short clips of single calls, whose borders their level tells."""


class DataRecipe(_Section):
    """Which recordings may be used, and how."""

    permitted_licences: tuple[str, ...] = Field(min_length=1)
    sets: tuple[SetRecipe, ...] = ()
    exclude: tuple[str, ...] = ()
    """Patterns of files that are never used."""
    dev: tuple[str, ...] = ()
    """Patterns of training files that judge and tune instead of training."""
    animal_labels: tuple[str, ...] = ()
    """Labels of clips that hold an animal; every other label of a clip is a hard negative."""
    unused_labels: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> DataRecipe:
        names = [entry.name for entry in self.sets]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"set {repeated[0]!r} is named twice")
        return self


class SynthesisRecipe(_Section):
    """Amounts of synthetic sound."""

    bouts: Amount = 3000
    backgrounds: Amount = 120
    """Pieces of ``background_s`` each."""
    intrusions: Amount = 240
    background_s: float = Field(default=12.0, ge=1, le=120)


class MixingRecipe(_Section):
    """How a training crop is put together; levels in dB."""

    crop_s: float = Field(default=8.0, ge=1, le=60)
    bouts: tuple[Amount, Amount] = (0, 4)
    real_bout: Share = 0.4
    real_background: Share = 0.6
    second_background: Share = 0.3
    hard_negative: Share = 0.35
    plain_recording: Share = 0.1
    """Crops of a labelled recording as it is, with nothing mixed in."""
    snr_db: Range = (-5.0, 40.0)
    level_db: Range = (-85.0, -30.0)
    equaliser_db: float = Field(default=6.0, ge=0, le=30)
    mel_shift_bands: Amount = 5
    low_pass: Share = 0.35
    audible_db: float = Field(default=-3.0, ge=-30, le=30)
    """Frames of a call that stand out less than this are ignored."""
    short_segment: Share = 0.2


class FitRecipe(_Section):
    """Optimisation."""

    steps: Count = 2000
    batch: Count = 16
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.02, ge=0)
    warmup_steps: Amount = 100
    ema: float = Field(default=0.998, ge=0, lt=1)
    positive_weight: float = Field(default=1.0, gt=0)
    gradient_norm: float = Field(default=1.0, gt=0)
    bf16: bool = True
    judge_every: Count = 250
    patience: Count = 8
    """Judgements without improvement after which training stops."""


class TuneRecipe(_Section):
    """Grid of event settings tried on the dev set; the first of each judges the network while it trains."""

    shift_logits: tuple[float, ...] = (-1.0, 0.0, -2.0)
    """Added to the head's bias, so that quiet frames lie under the lowest confidence that a site may keep."""
    step_filter_s: tuple[float, ...] = (0.02, 0.01, 0.04)
    merge_logits: tuple[float, ...] = (2.0, 1.0, 3.0)
    join_s: tuple[float, ...] = (0.01, 0.0, 0.03)
    min_duration_s: tuple[float, ...] = (0.01, 0.02)
    low_logit: tuple[float, ...] = (-3.0,)


class Built(_Section):
    """What a finished run used and reached; written by the program."""

    detector_version: str
    code: str
    data: dict[str, str]
    """SHA-256 of every recording used, by its path under ``--audio``."""
    bank_hours: dict[str, float]
    steps: Count
    losses: dict[str, float]
    dev: dict[str, Any]
    minutes: float
    threads: Count


class Recipe(_Section):
    """All of a recipe."""

    name: str = Field(min_length=1)
    label: str = "animal"
    licence: str = Field(min_length=1)
    provenance: str = Field(min_length=1)
    seed: Amount = 0
    sample_rate_hz: Count = 32_000
    frontend: FrontendNumbers = FrontendNumbers()
    encoder: EncoderNumbers = EncoderNumbers()
    hidden: Amount = 0
    data: DataRecipe
    synthesis: SynthesisRecipe = SynthesisRecipe()
    mixing: MixingRecipe = MixingRecipe()
    fit: FitRecipe = FitRecipe()
    tune: TuneRecipe = TuneRecipe()
    notes: tuple[str, ...] = ()
    """What was tried, with numbers."""
    built: Built | None = None


def load_recipe(path: Path) -> Recipe:
    """A recipe from its file.

    Raises
    ------
    TrainingError
        If the file cannot be read or anything in it is not as it should be.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"cannot read the recipe {path}: {error}", "give a recipe such as models/default/recipe.yaml") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise TrainingError(f"{path} is not valid YAML: {error}", "compare it with models/default/recipe.yaml") from error
    if not isinstance(values, dict):
        raise TrainingError(f"{path} holds a {type(values).__name__}, not keys with values", "compare it with models/default/recipe.yaml")
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise TrainingError(*explain_validation(error, Recipe, str(path))) from error


def recipe_text(recipe: Recipe) -> str:
    """The recipe as YAML; the same recipe gives the same text."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
