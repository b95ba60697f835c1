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
from detector.train.judge import Candidates, find_events, judge, logit_thresholds
from detector.train.recipe import Recipe
from detector.types import AudioBlock, FloatArray, FrameScores

CLASS = "animal"
LEGEND = (
    "AP at IoU 0.3 / AP at IoU 0.5 / F1 at the strict threshold / F1 at the balanced threshold; "
    "without animals: false events per hour, strict / balanced"
)
"""What the numbers in a cell of `table` are."""
_NEGATIVE_USES = ("noise", "weak noise", "speech", "background")
_THRESHOLDS_OF_RIVALS = 200
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Rival:
    """Something that finds candidates in a recording, and the scores from which they count.

    Attributes
    ----------
    name : str
    candidates : callable
        (samples, sample_rate_hz) -> candidates.
    thresholds : mapping of str to float
        Score from which a candidate counts. "strict": highest mean F1 on the development set with at most 60 false events per hour on its
        recordings without animals; "balanced": highest mean F1 there, whatever the false events.
    settings : mapping
        For the card.
    dev : mapping
        Results on the development set at the strict threshold.
    """

    name: str
    candidates: Callable[[FloatArray, int], Candidates]
    thresholds: Mapping[str, float]
    settings: Mapping[str, Any]
    dev: Mapping[str, float]


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

    rate = bundle.card.sample_rate_hz
    found = [candidates(item.samples, rate) for item in items]
    strict = float(np.log(facts.threshold / (1 - facts.threshold)))
    balanced = judge(items, found, rate, logit_thresholds(), np.inf).threshold
    dev = judge(items, found, rate, [strict]).summary()
    return Rival("bundle", candidates, {"strict": strict, "balanced": balanced}, facts.model_dump(), dev)


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
    strict = judge(items, found, sample_rate_hz, thresholds)
    balanced = judge(items, found, sample_rate_hz, thresholds, np.inf)
    chosen = {"strict": strict.threshold, "balanced": balanced.threshold}
    return Rival(name, candidates, chosen, {key: getattr(detector, key) for key in detector.__slots__}, strict.summary())


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
        "events": group -> rival -> average precision, and F1, precision and recall at each threshold, with 95 % intervals over recordings;
        "false_per_hour": group without animals -> rival -> threshold -> rate; "mean": rival -> means over the groups.
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
        chosen = [recordings[one.file.name] for one in members]
        results = {rival.name: _results(rival, members, chosen, detections[rival.name]) for rival in rivals}
        about: dict[str, Any] = {"recordings": len(members), "hours": round(sum(one.duration_s for one in chosen) / 3600.0, 4)}
        if negative:
            quiet[group] = about | {name: _false_rates(one) for name, one in results.items()}
        else:
            about["labels"] = sum(len(one.spans) for one in members)
            events[group] = about | {name: _numbers(one) for name, one in results.items()}
    return {"events": events, "false_per_hour": quiet, "mean": _means(rivals, events, quiet)}


def _results(
    rival: Rival, members: Sequence[HeldOutFile], recordings: Sequence[EvaluatedRecording], detections: Sequence[Detection]
) -> dict[str, ClassResult]:
    """Results of one rival for one group at each of its thresholds."""
    names = {one.file.name for one in members}
    labels = [Label(one.file.name, start, end, CLASS) for one in members for start, end in one.spans]
    found = [detection for detection in detections if detection.recording in names]
    return {
        name: evaluate_events(found, labels, recordings, LabelMap((), CLASS), [CLASS], {CLASS: threshold}).classes[0]
        for name, threshold in rival.thresholds.items()
    }


def _numbers(results: Mapping[str, ClassResult]) -> dict[str, Any]:
    """Value and 95 % interval of every measure."""

    def shown(estimate: Estimate) -> list[float]:
        return [round(value, 3) for value in (estimate.value, estimate.low, estimate.high) if np.isfinite(value)]

    numbers: dict[str, Any] = {name: shown(getattr(results["strict"], name)) for name in ("ap30", "ap50")}
    for threshold, result in results.items():
        numbers[threshold] = {name: shown(getattr(result, name)) for name in ("f1", "precision", "recall")}
    return numbers


def _false_rates(results: Mapping[str, ClassResult]) -> dict[str, float]:
    return {name: round(result.false_per_hour.value, 1) for name, result in results.items()}


def _means(rivals: Sequence[Rival], events: Mapping[str, Any], quiet: Mapping[str, Any]) -> dict[str, Any]:
    """Mean over the groups with calls, and false events per hour over all recordings without."""
    hours = sum(group["hours"] for group in quiet.values())
    means: dict[str, Any] = {}
    for name, thresholds in ((rival.name, rival.thresholds) for rival in rivals):
        own = [group[name] for group in events.values()]
        means[name] = {measure: round(float(np.mean([one[measure][0] for one in own])), 3) for measure in ("ap30", "ap50")}
        for threshold in thresholds:
            f1 = round(float(np.mean([one[threshold]["f1"][0] for one in own])), 3)
            false = sum(group[name][threshold] * group["hours"] for group in quiet.values())
            means[name][threshold] = {"f1": f1, "false_per_hour": round(false / hours, 1) if hours else 0.0}
    return means


def table(measured: Mapping[str, Any]) -> str:
    """The test numbers of a card as a Markdown table."""
    names = list(measured["mean"])
    lines = [f"| test recordings | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for group, numbers in measured["events"].items():
        lines.append(f"| {group}, {numbers['labels']} calls | {' | '.join(_cell(numbers[name]) for name in names)} |")
    means = measured["mean"]
    cells = (_cell({**means[name], **{key: {"f1": [means[name][key]["f1"]]} for key in ("strict", "balanced")}}) for name in names)
    lines.append(f"| mean of these | {' | '.join(cells)} |")
    for group, numbers in measured["false_per_hour"].items():
        lines.append(f"| {group}, {60 * numbers['hours']:.1f} min | {' | '.join(_rates(numbers[name]) for name in names)} |")
    totals = ({key: means[name][key]["false_per_hour"] for key in ("strict", "balanced")} for name in names)
    lines.append(f"| all without animals | {' | '.join(_rates(one) for one in totals)} |")
    return "\n".join(lines)


def _cell(numbers: Mapping[str, Any]) -> str:
    """Both average precisions, then F1 at both thresholds."""
    ap30, ap50 = (np.atleast_1d(numbers[name])[0] for name in ("ap30", "ap50"))
    return f"{ap30:.2f} / {ap50:.2f} / {numbers['strict']['f1'][0]:.2f} / {numbers['balanced']['f1'][0]:.2f}"


def _rates(numbers: Mapping[str, float]) -> str:
    return f"{numbers['strict']:.0f} / {numbers['balanced']:.0f}"
