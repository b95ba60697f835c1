"""The house keeps its shape: imports point down, heavy packages have one home, files and functions stay short."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "detector"
MODULES = sorted(PACKAGE.rglob("*.py"))

LEVELS = {
    "errors": 0,
    "types": 0,
    "timeline": 0,
    "config": 1,
    "audio": 2,
    "stream": 2,
    "store": 2,
    "model": 2,
    "evaluate": 2,
    "tune": 3,
    "review": 4,
    "service": 5,
    "train": 5,
    "cli": 6,
}

HOMES = {
    "torch": ("train/", "model/student.py", "model/export.py"),
    "torchaudio": ("train/",),
    "transformers": ("train/",),
    "onnx": ("train/", "model/export.py"),
    "onnxscript": ("train/", "model/export.py"),
    "onnxruntime": ("model/engine.py",),
    "sqlite_utils": ("store/",),
    "soundfile": ("audio/",),
    "soxr": ("audio/",),
    "sounddevice": ("audio/",),
    "safetensors": ("model/", "train/"),
    "scipy": ("evaluate/", "tune/", "train/"),
    "matplotlib": ("service/pictures.py",),
    "click": ("cli/",),
    "rich": ("cli/",),
    "yaml": ("config.py", "model/", "train/"),
}

LIGHT_COMMANDS = ("replay", "export", "evaluate", "models", "doctor", "bench", "demo")
TORCH_FREE = ("detector.service.replay", "detector.model.scorer", "detector.evaluate.metrics", "detector.store.store")
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager"}


def place(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room(dotted: str) -> str:
    """errors, config, audio ... for a module of this package."""
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that a file imports, anywhere in it; `from detector import x` counts as detector.x."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they point"
            assert node.module is not None
            if node.module == "detector":
                yield from (f"detector.{alias.name}" for alias in node.names)
            else:
                yield node.module


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def own_room(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def test_every_room_has_a_level() -> None:
    rooms = {own_room(path) for path in MODULES} - {"__init__"}
    assert rooms <= set(LEVELS)


def test_imports_point_down() -> None:
    wrong = []
    for path in MODULES:
        mine = own_room(path)
        for name in imports(parsed(path)):
            if name.split(".")[0] != "detector" or room(name) in ("", "data"):
                continue
            theirs = room(name)
            down = LEVELS[theirs] < LEVELS.get(mine, 99) or theirs == mine
            if not down:
                wrong.append(f"{place(path)} imports {name}")
    assert wrong == []


def test_heavy_packages_have_one_home() -> None:
    wrong = []
    for path in MODULES:
        for name in imports(parsed(path)):
            homes = HOMES.get(name.split(".")[0])
            if homes is not None and not place(path).startswith(homes):
                wrong.append(f"{place(path)} imports {name}")
    assert wrong == []


def test_stream_needs_numpy_only() -> None:
    allowed = {"numpy", "detector", *sys.stdlib_module_names}
    for path in (PACKAGE / "stream").glob("*.py"):
        outside = {name.split(".")[0] for name in imports(parsed(path))} - allowed
        assert outside == set(), place(path)


@pytest.mark.parametrize("module", TORCH_FREE)
def test_the_path_of_replay_loads_neither_torch_nor_scipy(module: str) -> None:
    banned = "torch" if module.startswith("detector.evaluate") else "torch|scipy|matplotlib"
    code = f"import {module}, sys, re; print(sorted(m for m in sys.modules if re.fullmatch(r'{banned}', m)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", LIGHT_COMMANDS)
def test_a_command_module_is_light_until_it_runs(name: str) -> None:
    heavy = "torch|scipy|matplotlib|numpy|onnxruntime|soundfile|sqlite_utils|pydantic"
    code = f"import detector.cli.{name}, sys, re; print(sorted(m for m in sys.modules if re.fullmatch(r'{heavy}', m)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_no_file_is_longer_than_400_lines() -> None:
    files = [*MODULES, *sorted((ROOT / "tests").rglob("*.py"))]
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {name: n for name, n in lengths.items() if n > 400} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    long = []
    for path in MODULES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                length = node.end_lineno - node.lineno + 1
                if length > 60:
                    long.append(f"{place(path)}:{node.lineno} {node.name} has {length} lines")
    assert long == []


def test_no_drawer_for_odds_and_ends() -> None:
    assert [place(path) for path in MODULES if path.stem in FORBIDDEN_NAMES] == []


def test_no_loose_ends_in_the_source() -> None:
    # Put together here so that this file does not find itself.
    patterns = ("TO" + "DO", "FIX" + "ME", r"except\s*:", r"#\s*type:\s*ignore\s*($|[^\[])")
    found = []
    for path in MODULES:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            found += [f"{place(path)}:{number} {line.strip()}" for pattern in patterns if re.search(pattern, line)]
    assert found == []


def test_every_public_thing_says_what_it_is() -> None:
    silent = []
    for path in MODULES:
        tree = parsed(path)
        if path.name != "__init__.py" and ast.get_docstring(tree) is None:
            silent.append(place(path))
        for node in tree.body:
            named = isinstance(node, ast.FunctionDef | ast.ClassDef)
            if named and not node.name.startswith("_") and ast.get_docstring(node) is None:
                silent.append(f"{place(path)}:{node.lineno} {node.name}")
    assert silent == []


def test_the_package_is_marked_as_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
