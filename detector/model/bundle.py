"""Bundles on disk: where they are looked for, and everything that is checked before one is trusted."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from detector.errors import BundleError
from detector.model.architecture import head_shapes, parameter_shapes
from detector.model.card import CARD_NAME, ENCODER_FILE, GOLDEN_FILE, STEP_FILE, Card, head_file, load_card
from detector.types import FloatArray

MODELS_VARIABLE = "DETECTOR_MODELS"
_LARGEST_FILE_BYTES = 4_000_000_000
_AGAIN = "copy the bundle again from where it came"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that has been checked.

    Attributes
    ----------
    path : Path
        Its folder, absolute.
    card : Card
    hash : str
        Of everything that changes scores or event borders: numbers, event settings, weights. Not of measured
        results, prose, names or thresholds.
    """

    path: Path
    card: Card
    hash: str


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """One line of a list of bundles: ``card`` is None when ``problem`` says why it cannot be used."""

    name: str
    path: Path
    card: Card | None
    problem: str


def model_folders(config_dir: Path | None) -> list[Path]:
    """Folders that hold bundles, in the order in which they are searched; they need not exist."""
    folders = [] if config_dir is None else [config_dir / "models"]
    variable = os.environ.get(MODELS_VARIABLE)
    if variable:
        folders.append(Path(variable))
    packaged = Path(str(resources.files("detector") / "data" / "models"))
    folders.append(packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "models")
    return list(dict.fromkeys(folder.absolute() for folder in folders))


def find_bundle(name: str, config_dir: Path | None) -> Path:
    """Folder of a bundle.

    Parameters
    ----------
    name : str
        A path to a folder with a card, or the name of a folder in one of `model_folders`.
    config_dir : Path or None
        Where config.yaml lies.

    Raises
    ------
    BundleError
        Listing where was looked and what was found there.
    """
    given = Path(name)
    is_name = given.name == name and name not in (".", "..")
    places = [given.absolute()]
    if not given.is_absolute():
        if config_dir is not None and not is_name:
            places.append(config_dir.absolute() / given)
        if is_name:
            places += [folder / name for folder in model_folders(config_dir)]
    for place in places:
        if _has_card(place):
            return place.resolve()
    looked = ", ".join(str(place) for place in places)
    found = sorted({entry.name for entry in list_bundles(config_dir)})
    seen = f"bundles found: {', '.join(found)}" if found else f"none was found at all; set {MODELS_VARIABLE} to the folder that holds them"
    raise BundleError(f"no bundle {name!r} (looked for {CARD_NAME} in {looked})", seen)


def list_bundles(config_dir: Path | None) -> list[BundleEntry]:
    """Every bundle that can be named, sorted; the first of a name wins. Cards are read, weights are not."""
    entries: dict[str, BundleEntry] = {}
    for folder in model_folders(config_dir):
        for place in _children(folder):
            if place.name in entries or not _has_card(place):
                continue
            try:
                entries[place.name] = BundleEntry(place.name, place.resolve(), load_card(place / CARD_NAME), "")
            except BundleError as error:
                entries[place.name] = BundleEntry(place.name, place.resolve(), None, error.message)
    return sorted(entries.values(), key=lambda entry: entry.name)


def load_bundle(path: Path) -> Bundle:
    """Read and check a bundle: card, checksums, names, shapes, types and values of all weights.

    Raises
    ------
    BundleError
        Naming the file and what is wrong with it.
    """
    root = path.absolute().resolve()
    card = load_card(_inside(root, CARD_NAME))
    dims = card.encoder.frame_dims
    expected = {ENCODER_FILE: parameter_shapes(card.frontend, card.encoder)}
    expected |= {head_file(name): head_shapes(dims, head.hidden, len(head.classes)) for name, head in card.heads.items()}
    for name, shapes in expected.items():
        _check_arrays(name, _parse(name, read_weights(root, card, name)), shapes)
    read_weights(root, card, STEP_FILE)
    if GOLDEN_FILE in card.weights:
        golden = _parse(GOLDEN_FILE, read_weights(root, card, GOLDEN_FILE))
        _check_arrays(GOLDEN_FILE, golden, _golden_shapes(card, golden))
    return Bundle(root, card, bundle_hash(card))


def bundle_hash(card: Card) -> str:
    """Hash of what changes scores or event borders, 64 hexadecimal digits."""
    heads = {
        name: {"hidden": head.hidden, "classes": [[c.label, c.events.model_dump(exclude={"threshold"})] for c in head.classes]}
        for name, head in card.heads.items()
    }
    facts = {
        "sample_rate_hz": card.sample_rate_hz,
        "frontend": card.frontend.model_dump(),
        "encoder": card.encoder.model_dump(),
        "heads": list(heads.items()),
        "weights": {name: digest for name, digest in sorted(card.weights.items()) if name != GOLDEN_FILE},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def read_weights(root: Path, card: Card, name: str) -> bytes:
    """Bytes of a file of the bundle, after its checksum.

    Raises
    ------
    BundleError
        If it is missing, lies outside the bundle, or differs from what the card says.
    """
    path = _inside(root, name)
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise BundleError(f"{path} has {path.stat().st_size} bytes, more than any bundle needs", _AGAIN)
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}", _AGAIN) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.weights[name]:
        raise BundleError(f"{path} is damaged or changed: sha256 {digest[:12]}..., the card says {card.weights[name][:12]}...", _AGAIN)
    return content


def load_arrays(bundle: Bundle, name: str) -> dict[str, FloatArray]:
    """Arrays of a safetensors file of the bundle, by name."""
    return _parse(name, read_weights(bundle.path, bundle.card, name))


def _golden_shapes(card: Card, golden: dict[str, FloatArray]) -> dict[str, tuple[int, ...]]:
    """A sound of any length, and the frames and logits that so many samples have."""
    n = golden["audio"].size if "audio" in golden else 0
    n_frames = -(-n // card.frame_hop_samples)
    return {"audio": (n,), "frames": (n_frames, card.encoder.frame_dims), "logits": (n_frames, len(card.columns))}


def _has_card(place: Path) -> bool:
    """False also where the path cannot be looked at: too long, not allowed, not a path at all."""
    try:
        return (place / CARD_NAME).is_file()
    except (OSError, ValueError):
        return False


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _inside(root: Path, name: str) -> Path:
    """A file of the bundle; links may not lead out of it."""
    try:
        path = (root / name).resolve(strict=True)
    except (OSError, RuntimeError) as error:  # a circle of links is a RuntimeError before Python 3.13
        raise BundleError(f"{root} has no file {name}: {error}", _AGAIN) from error
    if not path.is_relative_to(root):
        raise BundleError(f"{root / name} leads out of the bundle, to {path}", "a bundle holds its own files; replace the link by the file")
    if not path.is_file():
        raise BundleError(f"{root} has no file {name}", _AGAIN)
    return path


def _parse(name: str, content: bytes) -> dict[str, FloatArray]:
    try:
        arrays: dict[str, FloatArray] = safetensors.numpy.load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise BundleError(f"{name} is not a safetensors file: {error}", _AGAIN) from error
    return arrays


def _check_arrays(name: str, arrays: dict[str, FloatArray], shapes: dict[str, tuple[int, ...]]) -> None:
    missing, extra = sorted(shapes.keys() - arrays.keys()), sorted(arrays.keys() - shapes.keys())
    if missing or extra:
        what = f"lacks {missing[0]!r}" if missing else f"holds {extra[0]!r}, which the card's numbers do not know"
        raise BundleError(f"{name} {what}", "card and weights belong to different bundles; copy both again")
    for key, shape in shapes.items():
        array = arrays[key]
        if array.shape != shape:
            raise BundleError(f"{name}: {key} has shape {array.shape}, the card's numbers give {shape}", _AGAIN)
        if array.dtype != np.float32:
            raise BundleError(f"{name}: {key} is {array.dtype}, not float32", _AGAIN)
        if not np.isfinite(array).all():
            raise BundleError(f"{name}: {key} holds values that are not finite", "the training of this bundle failed; use another")
