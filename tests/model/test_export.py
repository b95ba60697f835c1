"""What is exported is what was trained, twice the same, and nothing of the machine that did it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from detector.model.bundle import Bundle, load_arrays, load_bundle
from detector.model.card import ClassCard, HeadCard
from detector.model.export import OPSET, BundleFacts, export_bundle, rewrite_card
from detector.model.student import Student, TorchHead
from tests.model.conftest import SMALL_ENCODER, SMALL_FRONTEND, small_bundle


def test_the_weights_come_back_as_they_went(tmp_path: Path) -> None:
    torch.manual_seed(7)
    student, head = Student(SMALL_FRONTEND, SMALL_ENCODER), TorchHead(24, 1)
    heads = {"any": HeadCard(classes=(ClassCard(label="animal"),))}
    facts = BundleFacts("mine", "CC-BY-4.0", "trained on nothing", "nobody", 16000, heads, {"f1": 0.25}, "seed: 7\n")
    bundle = export_bundle(tmp_path / "deep" / "mine", student, {"any": head}, facts)
    for name, module in (("encoder.safetensors", student), ("heads/any.safetensors", head)):
        arrays = load_arrays(bundle, name)
        assert arrays.keys() == module.state_dict().keys()
        for key, tensor in module.state_dict().items():
            np.testing.assert_array_equal(arrays[key], tensor.numpy())
    assert bundle.card.measured == {"f1": 0.25}
    assert (bundle.path / "recipe.yaml").read_text(encoding="utf-8") == "seed: 7\n"
    assert sorted(path.name for path in bundle.path.parent.iterdir()) == ["mine"]


def test_the_same_network_gives_the_same_bytes_and_replaces_what_was_there(small: Bundle, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    (place / "left over").touch()
    again = small_bundle(place)
    assert again.card == small.card
    assert again.hash == small.hash
    assert not (place / "left over").exists()
    for name in again.card.weights:
        assert (place / name).read_bytes() == (small.path / name).read_bytes()


def test_the_graph_tells_nothing_about_the_machine_that_made_it(small: Bundle) -> None:
    content = (small.path / "step.onnx").read_bytes()
    for word in (b"site-packages", b".py", str(Path.home()).encode() + b"/", b"stack_trace"):
        assert word not in content
    model = onnx.load_from_string(content)
    assert model.opset_import[0].version == OPSET
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_a_failed_export_leaves_what_was_there(small: Bundle, tmp_path: Path) -> None:
    before = small_bundle(tmp_path / "small")
    student = Student(SMALL_FRONTEND, SMALL_ENCODER)
    with torch.no_grad():
        student.norm_out.bias[0] = float("nan")
    facts = BundleFacts("small", "MIT", "", "", 16000, {"any": HeadCard(classes=(ClassCard(label="animal"),))})
    with pytest.raises(Exception, match="not finite"):
        export_bundle(tmp_path / "small", student, {"any": TorchHead(24, 1)}, facts)
    assert load_bundle(tmp_path / "small") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small"]


def test_measured_results_are_added_without_touching_scores(tmp_path: Path) -> None:
    before = small_bundle(tmp_path / "small")
    after = rewrite_card(before, measured={"test": {"event_f1": 0.61, "recordings": 12}})
    assert after.hash == before.hash
    assert load_bundle(before.path).card.measured == {"test": {"event_f1": 0.61, "recordings": 12}}
