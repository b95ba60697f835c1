"""doctor, models, demo and bench: what they find, show and measure."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from detector.service.bench.figures import MEANINGS
from tests.cli.conftest import run_detector

LEFT = ("detections.selections.txt", "events.png", "scene.wav")
ROOT = Path(__file__).resolve().parents[2]


def findings(folder: Path, *arguments: object) -> tuple[int, dict[str, dict[str, str]]]:
    done = run_detector("doctor", "--json", *arguments, folder=folder)
    assert "Traceback" not in done.stderr
    return done.returncode, {row["name"]: row for row in json.loads(done.stdout)}


def test_the_doctor_looks_at_everything(replayed: Path) -> None:
    code, found = findings(replayed)
    assert code == 0
    looked_at = {"program", "packages", "torch", "processor", "memory", "SQLite", "clock", "recorder zone", "disk", "database"}
    assert set(found) == looked_at | {"sound inputs", "accelerator", "bundle", "engine"}
    assert found["recorder zone"]["value"] == "+03:00"
    assert found["database"]["value"].startswith("detections.db: 2 recordings, ")
    assert "onnx on cpu, chosen by auto" in found["engine"]["value"]
    assert "golden scores within" in found["engine"]["value"]


def test_whatever_is_not_well_comes_with_advice(replayed: Path) -> None:
    _, found = findings(replayed)
    assert [name for name, row in found.items() if row["level"] != "ok" and not row["advice"]] == []


def test_a_file_that_is_no_database_and_a_missing_bundle_are_failures(tmp_path: Path) -> None:
    (tmp_path / "detections.db").write_bytes(b"not a database at all" * 100)
    (tmp_path / "config.yaml").write_text("bundle: nightingale\n")
    code, found = findings(tmp_path)
    assert code == 1
    assert found["database"]["level"] == found["bundle"]["level"] == "fail"
    assert "nightingale" in found["bundle"]["value"]
    assert found["bundle"]["advice"] == "bundles found: default"
    assert "engine" not in found


def test_the_doctor_in_words(tmp_path: Path) -> None:
    done = run_detector("doctor", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "detections.db does not exist yet; the first replay makes it" in done.stdout
    assert "-> " in done.stdout


def test_models_are_listed_shown_and_verified(tmp_path: Path) -> None:
    (row,) = json.loads(run_detector("models", "list", "--json", folder=tmp_path).stdout)
    assert (row["name"], row["classes"]) == ("default", ["animal"])
    card = json.loads(run_detector("models", "show", "default", "--json", folder=tmp_path).stdout)
    assert card["sample_rate_hz"] == row["sample_rate_hz"]
    assert len(card["hash"]) == 64
    assert f"licence: {card['licence']}" in run_detector("models", "show", "default", folder=tmp_path).stdout
    done = run_detector("models", "verify", "default", folder=tmp_path)
    assert done.returncode == 0
    assert "golden scores: onnx within" in done.stdout


def test_a_damaged_bundle_is_named_with_its_damage(tmp_path: Path) -> None:
    broken = tmp_path / "models" / "broken"
    shutil.copytree(ROOT / "models" / "default", broken)
    (tmp_path / "config.yaml").write_text("")
    weights = broken / "encoder.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    done = run_detector("models", "verify", "broken", folder=tmp_path)
    assert done.returncode == 2
    assert "encoder.safetensors is damaged or changed" in done.stderr
    (broken / "card.yaml").write_text("format_version: 1\nnmae: x\n")
    listed = run_detector("models", "list", folder=tmp_path)
    assert listed.returncode == 0
    assert "broken\tcannot be used: " in listed.stdout
    assert "default\tanimal at " in listed.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("demonstration")
    done = run_detector("demo", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "demo", done.stdout


def test_the_demonstration_leaves_recording_database_table_and_picture(demo: tuple[Path, str]) -> None:
    folder, text = demo
    assert {"detections.db", *LEFT} <= {path.name for path in folder.iterdir()}
    picture = (folder / "events.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
    assert (width, height) == (1760, 1100)
    assert "planted calls found" in text
    assert "what to try next" in text


def test_the_demonstration_twice_changes_nothing(demo: tuple[Path, str]) -> None:
    folder, text = demo
    before = {name: (folder / name).read_bytes() for name in LEFT}
    again = run_detector("demo", folder=folder.parent)
    assert again.returncode == 0, again.stderr
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert [line for line in again.stdout.splitlines() if "found" in line] == [line for line in text.splitlines() if "found" in line]


def test_the_bench_measures_start_stages_and_store(tmp_path: Path) -> None:
    chosen = [part for name in ("start", "stages", "store") for part in ("--only", name)]
    done = run_detector("bench", "--quick", *chosen, "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)["figures"]
    groups = ("start", "stage", "encoder", "store")
    assert set(figures) == {name for name in MEANINGS if name.split(".")[0] in groups}
    assert all(row["value"] > 0 and row["unit"] and row["about"] for row in figures.values())
    assert 0 < figures["encoder.share_of_peak"]["value"] < 150


def test_every_figure_is_explained_in_the_help(tmp_path: Path) -> None:
    shown = run_detector("bench", "--help", folder=tmp_path).stdout
    assert [name for name, meaning in MEANINGS.items() if f"{name} ({meaning.unit}): " not in shown] == []
