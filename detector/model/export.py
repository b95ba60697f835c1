"""A trained student and its heads as a bundle: weights, step graph, golden scores, card."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import safetensors.numpy
import torch
from torch import Tensor, nn

from detector.model.architecture import EncoderNumbers, EncoderState, FrontendNumbers, look_ahead_samples, state_shapes
from detector.model.bundle import Bundle, load_bundle
from detector.model.card import (
    CARD_NAME,
    ENCODER_FILE,
    FORMAT_VERSION,
    GOLDEN_FILE,
    STEP_FILE,
    Card,
    ClassCard,
    HeadCard,
    card_text,
    head_file,
)
from detector.model.student import Student, TorchHead, TorchLogMel
from detector.types import FloatArray

OPSET = 20
_GOLDEN_S = 1.0


@dataclass(frozen=True, slots=True)
class BundleFacts:
    """What a card says beyond the numbers of the network.

    Attributes
    ----------
    name, licence, provenance, attribution : str
    sample_rate_hz : int
    heads : mapping of str to HeadCard
        In the order of the logits' columns.
    measured : mapping
        Free; empty when nothing was measured.
    recipe : str
        Text of recipe.yaml; none is written when empty.
    """

    name: str
    licence: str
    provenance: str
    attribution: str
    sample_rate_hz: int
    heads: Mapping[str, HeadCard]
    measured: Mapping[str, Any] = field(default_factory=dict)
    recipe: str = ""


def export_bundle(folder: Path, student: Student, heads: Mapping[str, TorchHead], facts: BundleFacts) -> Bundle:
    """Write a bundle and read it back with every check.

    The folder appears whole or not at all; one that is already there is replaced.

    Parameters
    ----------
    folder : Path
    student : Student
        Left as it is: a copy on the processor is exported.
    heads : mapping of str to TorchHead
        By the names in ``facts.heads``.
    facts : BundleFacts
    """
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    student = _on_processor(student)
    heads = {name: _head_on_processor(heads[name]) for name in facts.heads}
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        place = Path(scratch) / folder.name
        (place / "heads").mkdir(parents=True)
        contents = {head_file(name): _weights(head) for name, head in heads.items()}
        contents |= {ENCODER_FILE: _weights(student), STEP_FILE: step_graph(student)}
        contents[GOLDEN_FILE] = golden(student, heads, facts.sample_rate_hz)
        for name, content in contents.items():
            (place / name).write_bytes(content)
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        card = _card(student.frontend_numbers, student.numbers, facts, digests)
        (place / CARD_NAME).write_text(card_text(card), encoding="utf-8")
        if facts.recipe:
            (place / "recipe.yaml").write_text(facts.recipe, encoding="utf-8")
        load_bundle(place)
        if folder.exists():
            os.replace(folder, Path(scratch) / "before")
        os.replace(place, folder)
    return load_bundle(folder)


def rewrite_card(bundle: Bundle, **changes: Any) -> Bundle:
    """The bundle with other facts in its card, such as ``measured`` or a head's thresholds; weights stay.

    Raises
    ------
    pydantic.ValidationError
        If the changed card does not hold together.
    """
    card = Card.model_validate(bundle.card.model_dump() | changes)
    scratch = bundle.path / f".{CARD_NAME}"
    scratch.write_text(card_text(card), encoding="utf-8")
    os.replace(scratch, bundle.path / CARD_NAME)
    return load_bundle(bundle.path)


def random_bundle(folder: Path, seed: int = 0, encoder: EncoderNumbers | None = None, frontend: FrontendNumbers | None = None) -> Bundle:
    """A bundle with untrained weights, for tests and for trying the machinery; its scores mean nothing."""
    torch.manual_seed(seed)
    student = Student(frontend if frontend is not None else FrontendNumbers(), encoder if encoder is not None else EncoderNumbers())
    head = TorchHead(student.frame_dims, 1)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.mul_(4)
    facts = BundleFacts(
        name=folder.name,
        licence="MIT",
        provenance=f"Untrained: random weights of seed {seed}. Its scores mean nothing.",
        attribution="none",
        sample_rate_hz=32000,
        heads={"animal": HeadCard(classes=(ClassCard(label="animal"),))},
    )
    return export_bundle(folder, student, {"animal": head}, facts)


class _Step(nn.Module):
    """`Student.step` with the state as separate inputs and outputs."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student
        self.names = list(state_shapes(student.frontend_numbers, student.numbers))

    def forward(self, features: Tensor, valid: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        before = EncoderState.from_named(dict(zip(self.names, state, strict=True)))
        frames, after = self.student.step(features, valid, before)
        return (frames, *after.named().values())


def step_graph(student: Student) -> bytes:
    """The encoder's step as ONNX, one stream, fixed shapes; no trace of the machine that made it."""
    numbers = student.numbers
    shapes = state_shapes(student.frontend_numbers, numbers)
    n = numbers.step_frames
    inputs = (torch.zeros(1, n, student.frontend_numbers.mel_bands), torch.ones(1, n), *(torch.zeros(shape) for shape in shapes.values()))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        program = torch.onnx.export(
            _Step(student).eval(),
            inputs,
            dynamo=True,
            opset_version=OPSET,
            input_names=["features", "valid", *shapes],
            output_names=["frames", *(f"next_{name}" for name in shapes)],
            verbose=False,
        )
    if program is None:  # only with arguments that are not used here
        raise RuntimeError("torch.onnx.export gave no program")
    return _plain(program.model_proto)


def _plain(model: onnx.ModelProto) -> bytes:
    """The graph without names of source files, stack traces and intermediate shapes."""
    graph = model.graph
    del graph.value_info[:]
    del model.metadata_props[:]
    del graph.metadata_props[:]
    graph.doc_string = ""
    graph.name = "step"
    for element in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        element.doc_string = ""
        del element.metadata_props[:]
    onnx.checker.check_model(model)
    out: bytes = model.SerializeToString(deterministic=True)
    return out


def golden(student: Student, heads: Mapping[str, TorchHead], sample_rate_hz: int) -> bytes:
    """One second of seeded sound and what the torch network makes of it, offline."""
    n = int(_GOLDEN_S * sample_rate_hz)
    t = np.arange(n) / sample_rate_hz
    chirp = 0.3 * np.sin(2 * np.pi * sample_rate_hz * t * (0.02 + 0.1 * t / _GOLDEN_S)) * (np.sin(8 * np.pi * t / _GOLDEN_S) > 0)
    audio: FloatArray = (chirp + 0.01 * np.random.default_rng(0).standard_normal(n)).astype(np.float32)
    with torch.no_grad():
        features = TorchLogMel(student.frontend_numbers, sample_rate_hz)(torch.from_numpy(audio)[None])
        frames = student(features, torch.ones(features.shape[:2]))[0]
        logits = torch.cat([head(frames) for head in heads.values()], 1)
    return _packed({"audio": audio, "frames": frames.numpy(), "logits": logits.numpy()})


def _card(frontend: FrontendNumbers, encoder: EncoderNumbers, facts: BundleFacts, digests: Mapping[str, str]) -> Card:
    return Card(
        format_version=FORMAT_VERSION,
        name=facts.name,
        licence=facts.licence,
        provenance=facts.provenance,
        attribution=facts.attribution,
        sample_rate_hz=facts.sample_rate_hz,
        low_hz=frontend.low_hz,
        high_hz=frontend.high_hz,
        frame_hop_samples=frontend.hop_samples,
        look_ahead_samples=look_ahead_samples(frontend, encoder),
        frontend=frontend,
        encoder=encoder,
        heads=dict(facts.heads),
        weights=dict(digests),
        measured=dict(facts.measured),
    )


def _weights(module: nn.Module) -> bytes:
    return _packed({name: tensor.detach().numpy() for name, tensor in module.state_dict().items()})


def _packed(arrays: Mapping[str, FloatArray]) -> bytes:
    packed: bytes = safetensors.numpy.save({name: np.ascontiguousarray(array, np.float32) for name, array in sorted(arrays.items())})
    return packed


def _on_processor(student: Student) -> Student:
    copy = Student(student.frontend_numbers, student.numbers)
    copy.load_state_dict(student.state_dict())
    return copy.eval()


def _head_on_processor(head: TorchHead) -> TorchHead:
    sizes = [(layer.in_features, layer.out_features) for layer in head.layers if isinstance(layer, nn.Linear)]
    copy = TorchHead(sizes[0][0], sizes[-1][1], sizes[0][1] if len(sizes) > 1 else 0)
    copy.load_state_dict(head.state_dict())
    return copy.eval()
