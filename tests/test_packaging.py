"""The wheel is whole: the main job runs from an empty folder, with the core packages alone, and on a Raspberry Pi or Jetson too."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import venv
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
RATE_HZ = 32_000
LIMIT_MB = 400


def find_uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def run(*arguments: str | Path, folder: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHONPATH", "DETECTOR_", "VIRTUAL_ENV"))}
    command = [str(part) for part in arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, timeout=600, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    uv = find_uv()
    if uv is None:
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT, folder=folder)
    else:
        run(uv, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT, folder=folder)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment that holds the wheel and its core packages."""
    folder = tmp_path_factory.mktemp("core")
    uv = find_uv()
    venv.create(folder / "venv", with_pip=uv is None, symlinks=True)
    interpreter = folder / "venv" / "bin" / "python"
    if uv is None:
        run(interpreter, "-m", "pip", "install", "--quiet", wheel, folder=folder)
    else:
        run(uv, "pip", "install", "--quiet", "--python", interpreter, wheel, folder=folder)
    return interpreter


def test_the_wheel_carries_settings_and_the_default_bundle(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    needed = ["config.yaml", "models/default/card.yaml", "models/default/encoder.safetensors", "models/default/step.onnx"]
    assert {f"detector/data/{name}" for name in needed} <= names
    assert "detector/py.typed" in names
    assert not any(name.startswith(("tests/", "models/")) for name in names)


def test_the_core_install_has_no_torch_and_is_small(python: Path, tmp_path: Path) -> None:
    code = "import importlib.util as u, sysconfig; print(u.find_spec('torch') is None, sysconfig.get_paths()['purelib'])"
    absent, _, place = run(python, "-c", code, folder=tmp_path).stdout.strip().partition(" ")
    assert absent == "True"
    size_mb = sum(path.lstat().st_size for path in Path(place).rglob("*") if path.is_file()) / 1e6
    assert 50 < size_mb < LIMIT_MB


def test_the_main_job_runs_from_an_empty_folder(python: Path, tmp_path: Path) -> None:
    samples = np.random.default_rng(1).normal(0, 1000, 20 * RATE_HZ).astype("<i2")
    with wave.open(str(tmp_path / "site_20260501_203000.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.tobytes())
    command = python.with_name("detector")
    summary = json.loads(run(command, "replay", ".", "--json", folder=tmp_path).stdout)
    assert summary["recordings_new"] == 1
    assert summary["audio_s"] == pytest.approx(20.0)
    with sqlite3.connect(tmp_path / "detections.db") as db:
        assert db.execute("SELECT count(*), sum(n_samples) FROM recording").fetchone() == (1, 20 * RATE_HZ)
        assert db.execute("SELECT sum(n_samples) FROM effort WHERE state = 'analysed'").fetchone() == (20 * RATE_HZ,)


def test_the_packaged_settings_and_bundle_are_those_of_the_repository(python: Path, tmp_path: Path) -> None:
    code = "from detector.config import default_config_text; print(default_config_text(), end='')"
    assert run(python, "-c", code, folder=tmp_path).stdout == (ROOT / "config.yaml").read_text(encoding="utf-8")
    listed = json.loads(run(python.with_name("detector"), "models", "list", "--json", folder=tmp_path).stdout)
    assert [row["name"] for row in listed] == ["default"]
    assert "/detector/data/models/default" in listed[0]["path"]


def test_the_core_resolves_for_64_bit_arm_with_wheels_alone(tmp_path: Path) -> None:
    uv = find_uv()
    if uv is not None:
        platform = ("--python-platform", "aarch64-manylinux_2_28", "--python-version", "3.10", "--only-binary", ":all:")
        found = run(uv, "pip", "compile", "--quiet", "--no-header", *platform, ROOT / "pyproject.toml", folder=tmp_path).stdout
        names = {line.split("==")[0] for line in found.splitlines() if "==" in line}
    else:
        platform = ("--platform", "manylinux_2_28_aarch64", "--platform", "manylinux2014_aarch64", "--platform", "manylinux_2_17_aarch64")
        options = ("--dry-run", "--quiet", "--only-binary=:all:", "--python-version", "3.10", "--target", tmp_path / "target")
        report = tmp_path / "report.json"
        names_wanted = json.loads(run(sys.executable, "-c", _REQUIREMENTS, folder=tmp_path).stdout)
        run(sys.executable, "-m", "pip", "install", *options, *platform, "--report", report, *names_wanted, folder=tmp_path)
        names = {item["metadata"]["name"].lower() for item in json.loads(report.read_text())["install"]}
    assert {"numpy", "onnxruntime", "soundfile", "soxr"} <= names
    assert not any("torch" in name or "nvidia" in name for name in names)


_REQUIREMENTS = """
import json
from importlib.metadata import requires
print(json.dumps([text for text in requires("field-detector") if "extra ==" not in text]))
"""
