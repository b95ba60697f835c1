"""A damaged, incomplete or hostile bundle is refused with a clear error, and a good one is found."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.numpy
import yaml

from detector.errors import BundleError, DetectorError
from detector.model.bundle import MODELS_VARIABLE, Bundle, find_bundle, list_bundles, load_bundle, model_folders
from detector.model.card import parse_card
from detector.model.engine import make_engine

Copy = Callable[[], Path]


def rehash(root: Path) -> None:
    """Make the card agree with the files, as somebody would who builds a bundle by hand."""
    values = yaml.safe_load((root / "card.yaml").read_text(encoding="utf-8"))
    values["weights"] = {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in values["weights"]}
    (root / "card.yaml").write_text(yaml.safe_dump(values, allow_unicode=True, sort_keys=False), encoding="utf-8")


def rewrite(root: Path, name: str, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    """Change the arrays of one file, checksum included."""
    arrays = safetensors.numpy.load_file(root / name)
    change(arrays)
    (root / name).write_bytes(safetensors.numpy.save(arrays))
    rehash(root)


def refused(root: Path) -> str:
    with pytest.raises(BundleError) as caught:
        load_bundle(root)
    assert caught.value.hint
    return caught.value.message


def test_a_whole_bundle_is_taken(small: Bundle) -> None:
    assert load_bundle(small.path) == small
    assert len(small.hash) == 64


@pytest.mark.parametrize("name", ["card.yaml", "encoder.safetensors", "step.onnx", "heads/any.safetensors", "golden.safetensors"])
def test_a_file_that_is_missing_is_named(copy_small: Copy, name: str) -> None:
    root = copy_small()
    (root / name).unlink()
    assert name in refused(root)


@pytest.mark.parametrize("name", ["encoder.safetensors", "step.onnx", "heads/any.safetensors", "golden.safetensors"])
def test_one_changed_bit_is_noticed(copy_small: Copy, name: str) -> None:
    root = copy_small()
    content = bytearray((root / name).read_bytes())
    content[len(content) // 2] ^= 1
    (root / name).write_bytes(content)
    assert "sha256" in refused(root)


def test_weights_that_do_not_fit_the_card_are_refused(copy_small: Copy) -> None:
    changes: list[tuple[str, Callable[[dict[str, np.ndarray]], object], str]] = [
        ("encoder.safetensors", lambda a: a.pop("norm_out.bias"), "lacks 'norm_out.bias'"),
        ("encoder.safetensors", lambda a: a.update(extra=np.zeros(1, np.float32)), "holds 'extra'"),
        ("encoder.safetensors", lambda a: a.update({"norm_out.bias": np.zeros(3, np.float32)}), "has shape (3,)"),
        ("encoder.safetensors", lambda a: a.update({"norm_out.bias": np.zeros(16)}), "float64, not float32"),
        ("encoder.safetensors", lambda a: a["norm_out.bias"].__setitem__(2, np.nan), "not finite"),
        ("heads/any.safetensors", lambda a: a["layers.0.weight"].__setitem__((1, 2), np.inf), "not finite"),
        ("heads/birds.safetensors", lambda a: a.update({"layers.0.bias": np.zeros(1, np.float32)}), "has shape (1,)"),
        ("golden.safetensors", lambda a: a.pop("audio"), "lacks 'audio'"),
        ("golden.safetensors", lambda a: a.update(logits=np.zeros((1, 3), np.float32)), "has shape (1, 3)"),
    ]
    for name, change, message in changes:
        root = copy_small()
        rewrite(root, name, change)
        assert message in refused(root)


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"\xff" * 64, b"{}", (2**62).to_bytes(8, "little") + b"{}"])
def test_weights_that_are_no_safetensors_are_refused(copy_small: Copy, content: bytes) -> None:
    root = copy_small()
    (root / "encoder.safetensors").write_bytes(content)
    rehash(root)
    assert "not a safetensors file" in refused(root)


def test_two_hundred_damaged_weight_files_never_crash(copy_small: Copy) -> None:
    rng = random.Random(1)
    root = copy_small()
    good = (root / "heads" / "birds.safetensors").read_bytes()
    outcomes = []
    for _ in range(200):
        content = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(min(len(content), 220))] = rng.randrange(256)
        (root / "heads" / "birds.safetensors").write_bytes(content)
        rehash(root)
        try:
            load_bundle(root)
            outcomes.append("taken")
        except DetectorError:
            outcomes.append("refused")
    assert outcomes.count("refused") > 100


def test_a_link_that_leads_out_of_the_bundle_is_refused(copy_small: Copy, tmp_path: Path) -> None:
    root = copy_small()
    outside = tmp_path / "outside.safetensors"
    outside.write_bytes((root / "encoder.safetensors").read_bytes())
    (root / "encoder.safetensors").unlink()
    (root / "encoder.safetensors").symlink_to(outside)
    assert "leads out of the bundle" in refused(root)


def test_a_circle_of_links_is_refused(copy_small: Copy) -> None:
    root = copy_small()
    (root / "step.onnx").unlink()
    (root / "step.onnx").symlink_to(root / "step.onnx")
    assert "step.onnx" in refused(root)


def test_a_link_to_a_bundle_is_a_bundle(copy_small: Copy, tmp_path: Path, small: Bundle) -> None:
    (tmp_path / "link").symlink_to(copy_small(), target_is_directory=True)
    assert load_bundle(tmp_path / "link").hash == small.hash


def test_a_card_that_is_no_text_is_refused(copy_small: Copy) -> None:
    root = copy_small()
    for content in (b"\xff\xfe\x00", b"", b"- a\n- b", b"a: [", b"x" * 1_100_000):
        (root / "card.yaml").write_bytes(content)
        assert str(root / "card.yaml") in refused(root)
    (root / "card.yaml").unlink()
    (root / "card.yaml").mkdir()
    assert "card.yaml" in refused(root)


def test_a_graph_of_other_numbers_is_refused_by_the_engine(copy_small: Copy, bundle: Bundle) -> None:
    root = copy_small()
    for content, message in (((bundle.path / "step.onnx").read_bytes(), "the card says"), (b"no graph", "cannot be run")):
        (root / "step.onnx").write_bytes(content)
        rehash(root)
        with pytest.raises(BundleError) as caught:
            make_engine(load_bundle(root), "onnx", "cpu")
        assert message in caught.value.message
        assert caught.value.hint


def test_a_graph_that_reads_other_files_is_refused(copy_small: Copy, tmp_path: Path) -> None:
    root = copy_small()
    model = onnx.load(root / "step.onnx")
    onnx.save(model, tmp_path / "step.onnx", save_as_external_data=True, location="secret.bin", size_threshold=0)
    (root / "step.onnx").write_bytes((tmp_path / "step.onnx").read_bytes())
    rehash(root)
    with pytest.raises(BundleError, match="refers to files outside itself"):
        make_engine(load_bundle(root), "onnx", "cpu")


def test_a_bundle_is_found_by_path_beside_the_config_and_by_the_variable(
    small: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(MODELS_VARIABLE, raising=False)
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    for place in (site / "models" / "mine", elsewhere / "mine", elsewhere / "other"):
        place.mkdir(parents=True)
        (place / "card.yaml").write_text((small.path / "card.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    assert find_bundle(str(small.path), None) == small.path
    assert find_bundle("mine", site) == site / "models" / "mine"
    assert find_bundle("models/mine", site) == site / "models" / "mine"
    with pytest.raises(BundleError):
        find_bundle("other", site)
    monkeypatch.setenv(MODELS_VARIABLE, str(elsewhere))
    assert find_bundle("other", site) == elsewhere / "other"
    assert find_bundle("mine", site) == site / "models" / "mine"
    assert find_bundle("mine", None) == elsewhere / "mine"
    assert model_folders(site)[:2] == [site / "models", elsewhere]


def test_a_bundle_that_is_nowhere_lists_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "set"))
    (tmp_path / "set" / "owls").mkdir(parents=True)
    (tmp_path / "set" / "owls" / "card.yaml").write_text("format_version: 1", encoding="utf-8")
    with pytest.raises(BundleError) as caught:
        find_bundle("hoots", tmp_path)
    assert str(tmp_path / "models" / "hoots") in caught.value.message
    assert str(tmp_path / "set" / "hoots") in caught.value.message
    assert "owls" in caught.value.hint
    for odd in ("", ".", "..", "a\x00b", "/nowhere/at/all", "x" * 5000, "~nobody/x", "käki 🐦"):
        with pytest.raises(BundleError):
            find_bundle(odd, tmp_path)


def test_the_list_of_bundles_says_which_cannot_be_used(small: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(small.path.parent))
    (tmp_path / "models" / "broken").mkdir(parents=True)
    (tmp_path / "models" / "broken" / "card.yaml").write_text("name: [", encoding="utf-8")
    (tmp_path / "models" / "empty").mkdir()
    entries = {entry.name: entry for entry in list_bundles(tmp_path)}
    assert "empty" not in entries
    assert entries["broken"].card is None
    assert "YAML" in entries["broken"].problem
    assert entries["small"].card == small.card
    assert entries["small"].problem == ""


def test_the_bundle_in_the_repository_is_whole() -> None:
    loaded = load_bundle(Path(__file__).resolve().parents[2] / "models" / "default")
    text = (loaded.path / "card.yaml").read_text(encoding="utf-8")
    assert parse_card(text) == loaded.card
