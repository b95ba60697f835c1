"""Matching by overlap: hand-made spans, and brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from detector.evaluate.matching import covered_share, greedy_matching, maximum_matching, overlapping_pairs


def spans(*pairs: tuple[float, float]) -> np.ndarray:
    return np.array(pairs, np.float64).reshape(-1, 2)


def test_overlap_is_intersection_over_hull() -> None:
    rows, columns, ious = overlapping_pairs(spans((0, 4)), spans((2, 6), (0, 4), (4, 5)), 0.0)
    assert rows.tolist() == [0, 0]
    assert columns.tolist() == [0, 1]
    assert ious.tolist() == pytest.approx([2 / 6, 1.0])


@pytest.mark.parametrize("shift", [0.0, 0.1, 1234.7])
def test_an_overlap_of_exactly_the_threshold_is_not_enough(shift: float) -> None:
    label = spans((shift, shift + 10))
    assert maximum_matching(label, spans((shift, shift + 3)), 0.3).tolist() == [-1]
    assert maximum_matching(label, spans((shift, shift + 3.001)), 0.3).tolist() == [0]


def test_points_match_only_the_same_point() -> None:
    point = spans((5, 5))
    assert maximum_matching(point, spans((4, 6)), 0.3).tolist() == [-1]
    assert maximum_matching(point, spans((5, 5)), 0.3).tolist() == [0]


def test_the_greatest_matching_beats_the_greedy_one() -> None:
    labels = spans((0, 10), (8, 18))
    detections = spans((3, 14), (0, 7))
    assert maximum_matching(labels, detections, 0.3).tolist() == [1, 0]
    assert greedy_matching(spans((0, 10)), spans((0, 10), (1, 9)), np.array([0.2, 0.9]), 0.3).tolist() == [-1, 0]


def test_greedy_takes_the_most_overlapping_free_label() -> None:
    labels = spans((0, 10), (4, 14))
    found = greedy_matching(labels, spans((4, 13), (5, 13)), np.array([0.9, 0.8]), 0.3)
    assert found.tolist() == [1, 0]


def test_nothing_matches_nothing() -> None:
    none = spans()
    assert maximum_matching(none, spans((0, 1)), 0.3).tolist() == []
    assert maximum_matching(spans((0, 1)), none, 0.3).tolist() == [-1]
    assert greedy_matching(none, spans((0, 1)), np.array([1.0]), 0.3).tolist() == [-1]


def test_cover_counts_overlapping_spans_once() -> None:
    assert covered_share(spans((0, 10), (2, 2), (20, 21)), spans((1, 4), (3, 5))).tolist() == [0.4, 1.0, 0.0]


def brute_force_size(rows: np.ndarray, columns: np.ndarray) -> int:
    pairs = list(zip(rows.tolist(), columns.tolist(), strict=True))
    for size in range(min(len(set(rows.tolist())), len(set(columns.tolist()))), 0, -1):
        for chosen in combinations(pairs, size):
            if len({r for r, _ in chosen}) == size and len({c for _, c in chosen}) == size:
                return size
    return 0


def test_four_hundred_random_scenes_agree_with_brute_force() -> None:
    rng = np.random.default_rng(7)
    for _ in range(400):
        labels, detections = (np.sort(rng.integers(0, 24, (rng.integers(0, 6), 2)) / 2.0, axis=1) for _ in range(2))
        rows, columns, ious = overlapping_pairs(labels, detections, 0.3)
        expected = set()
        for i, (a, b) in enumerate(labels):
            for j, (c, d) in enumerate(detections):
                hull = max(b, d) - min(a, c)
                iou = max(min(b, d) - max(a, c), 0) / hull if hull else 1.0
                if iou > 0.3 + 1e-9:
                    expected.add((i, j, round(iou, 12)))
        assert set(zip(rows.tolist(), columns.tolist(), np.round(ious, 12).tolist(), strict=True)) == expected
        matched = maximum_matching(labels, detections, 0.3)
        pairs = {(i, int(j)) for i, j in enumerate(matched) if j >= 0}
        assert pairs <= set(zip(rows.tolist(), columns.tolist(), strict=True))
        assert len({j for _, j in pairs}) == len(pairs) == brute_force_size(rows, columns)
