"""Which recordings become one stretch of audio."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from detector.audio.archive import chain_recordings
from detector.types import Recording, StartTime

SECOND = 1_000_000_000
RATE = 8000


def recording(name: str, start_s: float | None, n_samples: int = 60 * RATE, local: str = "2024-05-01T00:00:00") -> Recording:
    start = StartTime() if start_s is None else StartTime(round(start_s * SECOND), local, 0, "guano", 60 * SECOND, "header")
    return Recording(Path("/a") / name, 1, 1, "WAV", "PCM_16", RATE, 1, n_samples, n_samples, start)


def names(chains: list[tuple[Recording, ...]]) -> list[list[str]]:
    return [[one.path.name for one in chain] for chain in chains]


MINUTES = [recording(f"a_{number}.wav", 60.0 * number) for number in range(3)]


def test_never_joins_nothing_and_auto_joins_nothing_on_trust() -> None:
    assert names(chain_recordings(MINUTES, "never")) == [["a_0.wav"], ["a_1.wav"], ["a_2.wav"]]
    assert names(chain_recordings(MINUTES, "auto")) == [["a_0.wav"], ["a_1.wav"], ["a_2.wav"]]


def test_always_joins_what_meets_within_the_resolution_of_the_clock() -> None:
    assert names(chain_recordings(MINUTES, "always")) == [["a_0.wav", "a_1.wav", "a_2.wav"]]
    late = [MINUTES[0], recording("a_1.wav", 61.0), recording("a_2.wav", 122.1)]
    assert names(chain_recordings(late, "always")) == [["a_0.wav", "a_1.wav"], ["a_2.wav"]]
    overlap = [MINUTES[0], recording("a_1.wav", 58.0)]
    assert names(chain_recordings(overlap, "always")) == [["a_0.wav"], ["a_1.wav"]]
    fine = [recording("a_0.wav", 0.0, local="2024-05-01T00:00:00.000"), recording("a_1.wav", 60.1, local="2024-05-01T00:01:00.100")]
    assert names(chain_recordings(fine, "always")) == [["a_0.wav"], ["a_1.wav"]]


def test_files_are_joined_in_the_order_of_their_times() -> None:
    assert names(chain_recordings(MINUTES[::-1], "always")) == [["a_0.wav", "a_1.wav", "a_2.wav"]]


def test_local_times_without_zone_are_compared_with_each_other_only() -> None:
    one = replace(MINUTES[0], start=StartTime(None, "2024-05-01T00:00:00"))
    other = replace(MINUTES[1], start=StartTime(None, "2024-05-01T00:01:00"))
    assert names(chain_recordings([one, other], "always")) == [["a_0.wav", "a_1.wav"]]
    assert len(chain_recordings([one, MINUTES[1]], "always")) == 2


def test_recordings_without_times_follow_their_running_number() -> None:
    parts = [recording(f"part{number}.wav", None) for number in (10, 9, 11, 13)]
    assert names(chain_recordings(parts, "always")) == [["part9.wav", "part10.wav", "part11.wav"], ["part13.wav"]]
    assert len(chain_recordings([recording("a1b.wav", None), recording("a2b.wav", None)], "always")) == 2
    assert len(chain_recordings([recording("part1.wav", 0.0), recording("part2.wav", None)], "always")) == 2


def test_whatever_differs_is_never_joined() -> None:
    first, second = MINUTES[:2]
    others = [
        replace(second, sample_rate_hz=RATE * 2, n_samples=120 * RATE, promised_samples=120 * RATE),
        replace(second, channels=2),
        replace(second, encoding="PCM_24"),
        replace(second, container="W64"),
        replace(second, device="B"),
        replace(second, path=Path("/b/a_1.wav")),
        replace(second, path=Path("/a/b_1.wav")),
    ]
    assert all(len(chain_recordings([first, other], "always")) == 2 for other in others)


def test_nothing_follows_a_recording_that_was_cut_short() -> None:
    cut = replace(MINUTES[1], promised_samples=61 * RATE)
    assert names(chain_recordings([MINUTES[0], cut, MINUTES[2]], "always")) == [["a_0.wav", "a_1.wav"], ["a_2.wav"]]


def test_auto_joins_broadcast_wav_whose_sample_counts_meet_exactly() -> None:
    def counted(number: int, first_sample: int) -> Recording:
        start = recording(f"a_{number}.wav", float(first_sample // RATE))
        return replace(start, gapless=True, metadata={"time_reference": str(first_sample)})

    exact = [counted(0, 123), counted(1, 60 * RATE + 123), counted(2, 120 * RATE + 124)]
    assert names(chain_recordings(exact, "auto")) == [["a_0.wav", "a_1.wav"], ["a_2.wav"]]
    whole_seconds = [counted(0, 0), counted(1, 60 * RATE)]
    assert len(chain_recordings(whole_seconds, "auto")) == 2
    assert len(chain_recordings([replace(one, gapless=False) for one in exact], "auto")) == 3


def test_a_chain_ends_after_six_hours_and_the_next_begins() -> None:
    hours = [recording(f"h_{number:02d}.wav", 3600.0 * number, 3600 * RATE) for number in range(15)]
    assert [len(chain) for chain in chain_recordings(hours, "always")] == [6, 6, 3]
    assert [len(chain) for chain in chain_recordings(hours[:8], "always")] == [6, 2]
