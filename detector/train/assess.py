"""What a bundle does on the test recordings, beside two detectors without learning: the numbers of its card.

The bundle is heard through the stages of the field: resampler, streaming scorer on its exported graph, event tracker. The rivals are
tuned on the development set, as the bundle's own event settings are, and their thresholds keep the same false events per hour there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detector.audio.resample import StreamResampler
from detector.errors import TrainingError
from detector.evaluate.baseline_tuning import LabelledAudio, TunedBaseline, tune
from detector.evaluate.baselines import BAND_ENERGY_GRID, PCEN_GRID, BandEnergyDetector, Baseline, PcenDetector
from detector.evaluate.evaluation import Detection, EvaluatedRecording, evaluate_events
from detector.evaluate.labels import Label, LabelMap
from detector.evaluate.metrics import ClassResult, Estimate
from detector.model.bundle import Bundle
from detector.model.engine import make_engine
from detector.model.scorer import StreamingScorer
from detector.train.banks import role_of
from detector.train.corpus import CorpusFile
from detector.train.devset import DevItem
from detector.train.hearing import native_audio
from detector.train.judge import Candidates, find_events, judge
from detector.train.recipe import Recipe
from detector.types import AudioBlock, FloatArray, FrameScores

CLASS = "animal"
_NEGATIVE_USES = ("noise", "weak noise", "speech", "background")
_THRESHOLDS_OF_RIVALS = 200
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Rival:
    """Something that finds candidates in a recording, and the score from which they count.

    Attributes
    ----------
    name : str
    candidates : callable
        (samples, sample_rate_hz) -> candidates.
    threshold : float
    settings : mapping
        For the card.
    """

    name: str
    candidates: Callable[[FloatArray, int], Candidates]
    threshold: float
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HeldOutFile:
    """A test recording with its group, its calls, or the knowledge that it has none."""

    file: CorpusFile
    group: str
    negative: bool
    spans: tuple[tuple[float, float], ...] = field(default=())


def bundle_rival(bundle: Bundle, items: Sequence[DevItem]) -> Rival:
    """The bundle as it listens in the field, on its ONNX graph; ``items`` are only judged."""
    scorer = StreamingScorer(bundle, make_engine(bundle, "onnx", "cpu"))
    column = next((i for i, label in enumerate(scorer.labels) if label == CLASS), None)
    if column is None:
        raise TrainingError(f"bundle {bundle.card.name!r} has no class {CLASS!r}", f"its classes: {', '.join(scorer.labels)}")
    facts = bundle.card.columns[column][1].events
    hop_s = bundle.card.frame_hop_s

    def candidates(samples: FloatArray, sample_rate_hz: int) -> Candidates:
        scorer.reset()
        resampler = StreamResampler(sample_rate_hz, bundle.card.sample_rate_hz)
        logits = []
        for item in [*resampler.push(AudioBlock(0, samples)), *resampler.flush()]:
            logits += [scores.logits[:, column] for scores in scorer.push(item) if isinstance(scores, FrameScores)]
        logits += [scores.logits[:, column] for scores in scorer.flush() if isinstance(scores, FrameScores)]
        return find_events(np.concatenate(logits), facts, hop_s)

    threshold = float(np.log(facts.threshold / (1 - facts.threshold)))
    rate = bundle.card.sample_rate_hz
    judgement = judge(items, [candidates(item.samples, rate) for item in items], rate, [threshold])
    return Rival("bundle", candidates, threshold, {"threshold": threshold, "dev": judgement.summary()})


def baseline_rivals(items: Sequence[DevItem], sample_rate_hz: int, progress: Progress) -> list[Rival]:
    """Band energy and PCEN energy, tuned on the development set."""
    material = [LabelledAudio(item.samples, sample_rate_hz, np.array(item.events, np.float64).reshape(-1, 2)) for item in items]
    rivals = []
    for name, start, grid in (("band_energy", BandEnergyDetector(), BAND_ENERGY_GRID), ("pcen_energy", PcenDetector(), PCEN_GRID)):
        progress(f"tuning {name}")
        rivals.append(_tuned_rival(name, tune(start, grid, material), items, sample_rate_hz))
    return rivals


def _tuned_rival(name: str, tuned: TunedBaseline, items: Sequence[DevItem], sample_rate_hz: int) -> Rival:
    detector: Baseline = tuned.detector

    def candidates(samples: FloatArray, rate: int) -> Candidates:
        return tuple((one.start_s, one.end_s, one.score) for one in detector.candidates(detector.prepare(samples, rate)))

    found = [candidates(item.samples, sample_rate_hz) for item in items]
    scores = np.sort([score for each in found for _, _, score in each])
    thresholds = np.unique(np.quantile(scores, np.linspace(0.0, 1.0, _THRESHOLDS_OF_RIVALS))).tolist() if len(scores) else [0.0]
    judgement = judge(items, found, sample_rate_hz, thresholds)
    settings = {key: getattr(detector, key) for key in detector.__slots__}
    return Rival(name, candidates, judgement.threshold, {**settings, "threshold": judgement.threshold, "dev": judgement.summary()})


def held_out_files(recipe: Recipe, files: Iterable[CorpusFile]) -> list[HeldOutFile]:
    """Test recordings that can be scored: completely labelled ones by set and species, and those that hold no animal by kind."""
    chosen = []
    for file in files:
        if file.use == "events" and file.annotations:
            species = file.annotations[0].label.split(":", 1)[0]
            group = f"{file.set_name} {species}" if ":" in file.annotations[0].label else file.set_name
            spans = tuple((one.start_s, one.end_s) for one in file.annotations if one.animal)
            chosen.append(HeldOutFile(file, group, False, spans))
        elif file.use in _NEGATIVE_USES or role_of(file, recipe) == "negative":
            kind = file.use if file.use in ("speech", "background") else "noise"
            chosen.append(HeldOutFile(file, f"{kind} {file.set_name}", True))
    return chosen


def assess(rivals: Sequence[Rival], files: Sequence[HeldOutFile], progress: Progress) -> dict[str, Any]:
    """Numbers of every rival for every group.

    Returns
    -------
    dict
        "events": group -> rival -> AP, F1 and so on, with 95 % intervals over recordings; "false_per_hour": group -> rival -> rate;
        "mean": rival -> mean over the groups with events, and false events per hour over all recordings without animals.
    """
    detections: dict[str, list[Detection]] = {rival.name: [] for rival in rivals}
    recordings: dict[str, EvaluatedRecording] = {}
    for one in files:
        progress(one.file.name)
        samples, rate = native_audio(one.file.path)
        recordings[one.file.name] = EvaluatedRecording(one.file.name, len(samples) / rate, not one.negative, one.negative)
        for rival in rivals:
            for start_s, end_s, score in rival.candidates(samples, rate):
                detections[rival.name].append(Detection(one.file.name, start_s, end_s, CLASS, score))
    events: dict[str, dict[str, Any]] = {}
    quiet: dict[str, dict[str, Any]] = {}
    for group, negative in sorted({(one.group, one.negative) for one in files}):
        members = [one for one in files if one.group == group and one.negative == negative]
        results = {rival.name: _result(rival, members, recordings, detections[rival.name]) for rival in rivals}
        if negative:
            first = next(iter(results.values()))
            rates = {name: round(result.false_per_hour.value, 1) for name, result in results.items()}
            quiet[group] = {"hours": round(first.hours, 4), "recordings": len(members), **rates}
        else:
            events[group] = {name: _numbers(result) for name, result in results.items()}
            events[group] = {"recordings": len(members), "labels": sum(len(one.spans) for one in members), **events[group]}
    return {"events": events, "false_per_hour": quiet, "mean": _means(rivals, events, quiet)}


def _result(
    rival: Rival, members: Sequence[HeldOutFile], recordings: Mapping[str, EvaluatedRecording], detections: Sequence[Detection]
) -> ClassResult:
    names = {one.file.name for one in members}
    labels = [Label(one.file.name, start, end, CLASS) for one in members for start, end in one.spans]
    found = [detection for detection in detections if detection.recording in names]
    chosen = [recordings[name] for name in sorted(names)]
    return evaluate_events(found, labels, chosen, LabelMap((), CLASS), [CLASS], {CLASS: rival.threshold}).classes[0]


def _numbers(result: ClassResult) -> dict[str, Any]:
    def shown(estimate: Estimate) -> list[float]:
        return [round(value, 3) for value in (estimate.value, estimate.low, estimate.high) if np.isfinite(value)]

    return {name: shown(getattr(result, name)) for name in ("ap30", "ap50", "f1", "precision", "recall")}


def _means(rivals: Sequence[Rival], events: Mapping[str, Any], quiet: Mapping[str, Any]) -> dict[str, Any]:
    means: dict[str, Any] = {}
    hours = sum(group["hours"] for group in quiet.values())
    for rival in rivals:
        means[rival.name] = {}
        for measure in ("ap30", "ap50", "f1"):
            values = [group[rival.name][measure][0] for group in events.values()]
            means[rival.name][measure] = round(float(np.mean(values)), 3)
        if hours:
            false = sum(group[rival.name] * group["hours"] for group in quiet.values())
            means[rival.name]["false_per_hour"] = round(false / hours, 1)
    return means


def table(measured: Mapping[str, Any]) -> str:
    """The test numbers of a card as a Markdown table."""
    names = list(measured["mean"])
    lines = [f"| test recordings | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for group, numbers in measured["events"].items():
        cells = " | ".join(_cell(*(numbers[name][measure][0] for measure in ("ap30", "ap50", "f1"))) for name in names)
        lines.append(f"| {group}, {numbers['labels']} calls | {cells} |")
    means = [measured["mean"][name] for name in names]
    lines.append(f"| mean of these | {' | '.join(_cell(one['ap30'], one['ap50'], one['f1']) for one in means)} |")
    for group, numbers in measured["false_per_hour"].items():
        lines.append(f"| {group}, {60 * numbers['hours']:.1f} min | {' | '.join(f'{numbers[name]:.0f}' for name in names)} |")
    lines.append(f"| all without animals | {' | '.join(str(round(one.get('false_per_hour', 0.0))) for one in means)} |")
    return "\n".join(lines)


def _cell(ap30: float, ap50: float, f1: float) -> str:
    return f"{ap30:.2f} / {ap50:.2f} / {f1:.2f}"
