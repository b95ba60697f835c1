"""`detector bench`: how fast this machine replays, where the time goes, and beside what."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from detector.cli.options import json_option
from detector.service.bench.figures import MEANINGS

if TYPE_CHECKING:
    from detector.service.bench.figures import Figure
    from detector.service.bench.measure import Plan

GROUPS = ("start", "replay", "stages", "peers", "memory", "store")
SCENE_S = 120.0
SEED = 20260501
EVENTS, QUICK_EVENTS = 1_000_000, 20_000


def _catalogue() -> str:
    """Every figure with its unit and origin, for the end of the help page."""
    lines = [f"{name} ({meaning.unit}): {meaning.about}." for name, meaning in MEANINGS.items()]
    return "\b\nFigures:\n" + "\n".join(f"  {line}" for line in lines)


@click.command(name="bench", epilog=_catalogue())
@click.option("--bundle", default="default", show_default=True, metavar="NAME", help="Folder in models/, or a path.")
@click.option("--only", multiple=True, type=click.Choice(GROUPS), help="Measure these groups alone; may be given several times.")
@click.option("--quick", is_flag=True, help="One run of short recordings: a check that everything can be measured, not a measurement.")
@click.option("--long", is_flag=True, help="Also replay ten hours of audio in one file for its memory (3.5 GB of disk).")
@click.option("--store", "with_store", is_flag=True, help="Also put a million events into a database and count them.")
@json_option
def command(bundle: str, only: tuple[str, ...], quick: bool, long: bool, with_store: bool, as_json: bool) -> None:
    """Measure how fast this machine replays, and what it costs.

    Recordings are made from the seeded scene of `detector demo`, 48 kHz, 16 bit. Every measurement runs in fresh processes;
    "one thread" also means one core. Figures are medians of three runs. It takes about ten minutes; close other programs.
    """
    from detector.service.bench.measure import Plan, n_cores
    from detector.train.synthesis import demo_scene

    chosen = only if only else tuple(group for group in GROUPS if group != "store" or with_store)
    scene = demo_scene(SEED, 48_000, SCENE_S if not quick else 30.0)
    with tempfile.TemporaryDirectory(prefix="detector-bench-") as folder:
        minutes, files, repeats = (0.5, 2, 1) if quick else (10.0, max(6, 2 * n_cores()), 3)
        plan = Plan(Path(folder), scene.samples, bundle, minutes, files, repeats)
        figures: list[Figure] = []
        for figure in measure(plan, chosen, long, quick):
            figures.append(figure)
            if not as_json:
                click.echo(f"{figure.name:32} {_number(figure.value):>10} {figure.meaning.unit}")
    if as_json:
        rows = {figure.name: {"value": figure.value, "unit": figure.meaning.unit, "about": figure.meaning.about} for figure in figures}
        click.echo(json.dumps({"quick": quick, "figures": rows}, indent=2))


def measure(plan: Plan, groups: tuple[str, ...], long: bool, quick: bool) -> Iterator[Figure]:
    """The figures of the chosen groups, each as soon as it is known."""
    from importlib.util import find_spec

    from detector.service.bench import measure as bench

    own_speed = None
    if "start" in groups:
        yield from bench.start_up(plan)
    if "replay" in groups:
        for figure in bench.replays(plan):
            own_speed = figure.value if figure.name == "replay.wav_one_thread" else own_speed
            yield figure
    if "stages" in groups:
        yield from bench.stages(plan)
    if "peers" in groups:
        if find_spec("torch") is None or find_spec("transformers") is None:
            click.echo('note: no peers are measured, torch is not installed: pip install "field-detector[torch]"', err=True)
        else:
            yield from bench.peers(plan, own_speed)
    if "memory" in groups:
        yield from bench.memory(plan, long)
    if "store" in groups:
        yield from bench.store(plan, QUICK_EVENTS if quick else EVENTS)


def _number(value: float) -> str:
    """Three digits that matter, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
