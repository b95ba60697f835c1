"""Which detection found which labelled event.

The overlap of two spans is their intersection over the hull of both (IoU). A pair counts when it is strictly greater than the
threshold, so exactly 0.3 is not enough; 1e-9 is allowed for rounding. A label of zero length has no overlap with anything
but the same point, with which it has 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

Spans = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_ROUNDING = 1e-9


def overlapping_pairs(references: Spans, detections: Spans, threshold: float) -> tuple[Indices, Indices, Floats]:
    """Pairs with an IoU above the threshold.

    Parameters
    ----------
    references, detections : float64 (n, 2), (m, 2)
        Start and end.
    threshold : float
        0 to 1.

    Returns
    -------
    tuple of int64 (k,), int64 (k,), float64 (k,)
        Index of the reference, of the detection, and the IoU; by reference, then in the order of the detections.
    """
    order = np.argsort(detections[:, 0], kind="stable")
    starts, ends = detections[order, 0], detections[order, 1]
    reach = np.maximum.accumulate(ends) if len(ends) else ends
    firsts = np.searchsorted(reach, references[:, 0], side="left")
    lasts = np.searchsorted(starts, references[:, 1], side="right")
    found: list[tuple[Indices, Indices, Floats]] = []
    for i, (first, last) in enumerate(zip(firsts, lasts, strict=True)):
        if first >= last:
            continue
        start, end = references[i]
        near = slice(first, last)
        overlap = np.minimum(ends[near], end) - np.maximum(starts[near], start)
        hull = np.maximum(ends[near], end) - np.minimum(starts[near], start)
        iou = np.where(hull > 0, np.maximum(overlap, 0) / np.where(hull > 0, hull, 1), 1.0)
        hit = np.flatnonzero(iou > threshold + _ROUNDING)
        hit = hit[np.argsort(order[first + hit], kind="stable")]
        found.append((np.full(len(hit), i, np.int64), order[first + hit], iou[hit]))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    rows, columns, ious = zip(*found, strict=True)
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(ious)


def maximum_matching(references: Spans, detections: Spans, threshold: float) -> Indices:
    """The largest one-to-one matching of pairs above the threshold (Hopcroft & Karp), as in DCASE's few-shot task.

    Returns
    -------
    int64 (references,)
        Detection that belongs to each reference, or -1.
    """
    rows, columns, _ = overlapping_pairs(references, detections, threshold)
    if rows.size == 0:
        return np.full(len(references), -1, np.int64)
    graph = csr_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(len(references), len(detections)))
    matched: Indices = maximum_bipartite_matching(graph, perm_type="column").astype(np.int64)
    return matched


def greedy_matching(references: Spans, detections: Spans, scores: Floats, threshold: float) -> Indices:
    """By falling score, each detection takes the free reference that it overlaps most, as for average precision.

    Unlike PASCAL VOC, a detection whose best reference is taken may take the next best. Equal scores go by their order.

    Returns
    -------
    int64 (detections,)
        Reference that each detection found, or -1: a false event.
    """
    rows, columns, ious = overlapping_pairs(references, detections, threshold)
    candidates: dict[int, list[tuple[float, int]]] = {}
    for row, column, iou in zip(rows.tolist(), columns.tolist(), ious.tolist(), strict=True):
        candidates.setdefault(column, []).append((-iou, row))
    taken: set[int] = set()
    found = np.full(len(detections), -1, np.int64)
    for column in np.argsort(-scores, kind="stable").tolist():
        for _, row in sorted(candidates.get(column, [])):
            if row not in taken:
                taken.add(row)
                found[column] = row
                break
    return found


def covered_share(spans: Spans, cover: Spans) -> Floats:
    """Share of each span that lies inside the union of ``cover``; a point counts as inside or not."""
    share = np.zeros(len(spans))
    for start, end in _union(cover):
        length = spans[:, 1] - spans[:, 0]
        inside = np.maximum(np.minimum(spans[:, 1], end) - np.maximum(spans[:, 0], start), 0)
        point = (length == 0) & (spans[:, 0] >= start) & (spans[:, 0] <= end)
        share += np.where(point, 1.0, inside / np.where(length > 0, length, 1))
    return np.minimum(share, 1.0)


def _union(spans: Spans) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for start, end in sorted(spans.tolist()):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
