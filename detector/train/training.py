"""From a recipe and a folder of recordings to a bundle: banks, fit, event settings, export, test numbers."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detector.errors import TrainingError
from detector.model.bundle import Bundle, load_bundle
from detector.model.card import ClassCard, EventFacts, HeadCard
from detector.model.export import BundleFacts, export_bundle, rewrite_card
from detector.train.assess import assess, baseline_rivals, bundle_rival, held_out_files
from detector.train.banks import Banks, make_banks, role_of
from detector.train.corpus import CorpusFile, file_hashes, read_corpus, read_test_files
from detector.train.devset import DevItem, make_dev_items
from detector.train.fit import Fitter, Progress
from detector.train.hearing import FeatureMaker
from detector.train.judge import Tuned, judge_settings, tune_events
from detector.train.listener import Listener
from detector.train.mixing import Mixer
from detector.train.recipe import RECIPE_NAME, Built, Recipe, recipe_text
from detector.types import FloatArray

HEAD = "animal"
CURVES_NAME = "curves.json"

Say = Callable[[str], None]
ShowStep = Callable[[Progress, int], None]


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that a run listens to."""

    used: tuple[CorpusFile, ...]
    hashes: dict[str, str]
    code: str
    banks: Banks
    dev: list[DevItem]


def gather(recipe: Recipe, audio: Path, say: Say) -> Material:
    """Read and synthesise; says what differs from the data that the recipe was built with."""
    code = code_hash()
    corpus = read_corpus(audio, recipe.data)
    used = tuple(file for file in (*corpus.train, *corpus.dev) if role_of(file, recipe))
    hashes = file_hashes(used)
    if recipe.built is not None and recipe.built.data != hashes:
        changed = sum(recipe.built.data.get(name) != digest for name, digest in hashes.items())
        say(f"note: {changed} recordings are not those that this recipe was last built with")
    say("making the development set")
    dev = make_dev_items(recipe, corpus.dev)
    say("making banks of calls and backgrounds")
    return Material(used, hashes, code, make_banks(recipe, corpus.train, lambda _: None), dev)


def train_bundle(recipe: Recipe, audio: Path, out: Path, threads: int, say: Say, show: ShowStep) -> Bundle:
    """Train, tune, export and test a bundle. A run that was killed goes on from its checkpoint beside ``out``.

    Raises
    ------
    TrainingError
        If the recipe, the audio or a checkpoint does not allow it.
    """
    torch.set_num_threads(threads)
    material = gather(recipe, audio, say)
    checkpoint = out.absolute().with_name(f".{out.name}-training")
    dev = DevSet(material.dev, recipe)
    mixer = Mixer(material.banks, recipe.mixing, recipe.frontend, recipe.sample_rate_hz, recipe.seed)
    fitter = Fitter(recipe, mixer, checkpoint, _identity(recipe, material.hashes), dev.judge_network)
    say(f"training, {recipe.fit.steps} steps, from step {fitter.progress.step}")
    progress = fitter.run(lambda state, _: show(state, recipe.fit.steps))
    network = fitter.use_best()
    say("tuning event settings on the development set")
    tuned = tune_events(material.dev, dev.logits(network), dev.hop_s, recipe.sample_rate_hz, recipe.tune)
    network.bias.add_(tuned.shift_logits)
    built = _built(recipe, material, progress, tuned, dev.hop_s, threads)
    bundle = export_bundle(out, network.student, {HEAD: network.head}, _facts(recipe, tuned.facts, built, material.used))
    _write_curves(bundle, progress)
    shutil.rmtree(checkpoint, ignore_errors=True)
    return evaluate_bundle(recipe, audio, bundle, say, material.dev)


def evaluate_bundle(recipe: Recipe, audio: Path, bundle: Bundle, say: Say, dev: list[DevItem] | None = None) -> Bundle:
    """Score a bundle and its rivals on the test recordings and write the numbers to its card."""
    if dev is None:
        say("making the development set")
        dev = make_dev_items(recipe, read_corpus(audio, recipe.data).dev)
    rivals = [bundle_rival(bundle, dev), *baseline_rivals(dev, recipe.sample_rate_hz, say)]
    say("scoring the test recordings")
    files = held_out_files(recipe, read_test_files(audio, {entry.name: entry for entry in recipe.data.sets}))
    if not files:
        raise TrainingError(f"{audio} has no labelled file in its test split", "check split.csv")
    measured = assess(rivals, files, lambda _: None)
    measured["dev"] = {rival.name: dict(rival.dev) for rival in rivals}
    measured["settings"] = {rival.name: {**rival.settings, "thresholds": dict(rival.thresholds)} for rival in rivals}
    place = f"models/{bundle.path.name}"
    measured["command"] = f"detector train {place}/{RECIPE_NAME} --audio DIR --out {place} --only evaluate"
    return rewrite_card(bundle, measured=measured)


class DevSet:
    """The development set as features, and networks judged on it."""

    def __init__(self, items: list[DevItem], recipe: Recipe) -> None:
        maker = FeatureMaker(recipe.frontend, recipe.sample_rate_hz)
        self.items = items
        self.hop_s = maker.hop_s
        self.sample_rate_hz = recipe.sample_rate_hz
        self._features = [torch.from_numpy(maker(item.samples)) for item in items]
        self._settings = {name: values[0] for name, values in recipe.tune}

    def logits(self, network: Listener) -> list[FloatArray]:
        """Scores of every item, in float32."""
        with torch.inference_mode():
            return [network(each[None], torch.ones(1, len(each)))[0].numpy() for each in self._features]

    def judge_network(self, network: Listener) -> tuple[float, dict[str, float]]:
        """A score that rises with quality, and its parts; with the first event settings of the recipe's grid."""
        judgement = judge_settings(self.items, self.logits(network), self.hop_s, self.sample_rate_hz, self._settings)
        return judgement.score, judgement.summary()


def _identity(recipe: Recipe, hashes: dict[str, str]) -> str:
    """What a checkpoint belongs to: what the recipe says of sound, network and steps, and the data; no prose."""
    content = recipe.model_dump(mode="json", exclude={"notes": True, "built": True, "provenance": True, "data": {"sets"}})
    return hashlib.sha256(json.dumps([content, hashes], sort_keys=True).encode()).hexdigest()


def _built(recipe: Recipe, material: Material, progress: Progress, tuned: Tuned, hop_s: float, threads: int) -> Recipe:
    """The recipe with the record of this run."""
    judgement = tuned.judgement
    details: dict[str, Any] = {**judgement.summary(), "best_step": progress.best_step, "shift_logits": tuned.shift_logits}
    details["groups"] = {group: {"ap30": round(judgement.ap30[group], 3), "f1": round(judgement.f1[group], 3)} for group in judgement.ap30}
    built = Built(
        detector_version=metadata.version("field-detector"),
        code=material.code,
        data=material.hashes,
        bank_hours=material.banks.hours(hop_s),
        steps=progress.step,
        losses={"first": round(progress.losses[0][1], 4), "last": round(float(np.mean([loss for _, loss in progress.losses[-10:]])), 4)},
        dev=details,
        minutes=round(progress.seconds / 60.0, 1),
        threads=threads,
    )
    return recipe.model_copy(update={"built": built})


def code_hash() -> str:
    """SHA-256 over the source of the training and model rooms: which code made a bundle."""
    rooms = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted([*rooms.glob("train/*.py"), *rooms.glob("model/*.py")]):
        digest.update(f"{path.parent.name}/{path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _facts(recipe: Recipe, events: EventFacts, built: Recipe, used: Iterable[CorpusFile]) -> BundleFacts:
    return BundleFacts(
        name=recipe.name,
        licence=recipe.licence,
        provenance=recipe.provenance,
        attribution=attribution(recipe, used),
        sample_rate_hz=recipe.sample_rate_hz,
        heads={HEAD: HeadCard(hidden=recipe.hidden, classes=(ClassCard(label=recipe.label, events=events),))},
        recipe=recipe_text(built),
    )


def attribution(recipe: Recipe, files: Iterable[CorpusFile]) -> str:
    """Whose recordings were used, and their licences."""
    used = list(files)
    lines = []
    for entry in recipe.data.sets:
        credits = sorted({file.credit for file in used if file.set_name == entry.name and file.credit})
        named = f" Authors: {', '.join(credits)}." if credits else ""
        lines.append(f"{entry.name} ({entry.licence}): {entry.attribution}.{named}")
    return "\n".join(lines) if lines else "synthetic sound only"


def _write_curves(bundle: Bundle, progress: Progress) -> None:
    content = {"losses": progress.losses, "judgements": progress.judgements}
    (bundle.path / CURVES_NAME).write_text(json.dumps(content) + "\n", encoding="utf-8")


def existing_bundle(path: Path) -> Bundle:
    """A bundle that is to be evaluated again."""
    return load_bundle(path.absolute())
