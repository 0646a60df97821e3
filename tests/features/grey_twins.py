"""Families of grey levels as IBSI defines them, with NumPy and scikit-image, one mask at a time.

Levels are whole numbers from 1, 0 outside the mask.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

Array = NDArray[Any]
# Rows and columns to the next pixel: right, up and right, up, up and left.
STEPS = {"0deg": (0, 1), "45deg": (-1, 1), "90deg": (-1, 0), "135deg": (-1, -1)}
ANGLES = tuple(STEPS)


def levels_of(plane: Array, mask: Array, number: int) -> Array:
    """Levels by Python's integers, of pixels that are whole numbers."""
    inside = [int(v) for v in plane[mask]]
    low, high = min(inside), max(inside)
    found = np.zeros(plane.shape, int)
    if low == high:
        found[mask] = 1
    else:
        found[mask] = [min((v - low) * number // (high - low), number - 1) + 1 for v in inside]
    return found


def shifted(levels: Array, down: int, right: int) -> Array:
    """The level of the pixel so far away, 0 beyond the edge."""
    far = max(abs(down), abs(right))
    wide = np.pad(levels, far)
    h, w = levels.shape
    return wide[far + down : far + down + h, far + right : far + right + w]


def entropy(p: Array) -> float:
    """In bits."""
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())


def cooccurrence(levels: Array, angle: str, distance: int = 1) -> Array:
    """Symmetric counts of pairs, the level 1 at index 0."""
    down, right = STEPS[angle]
    other = shifted(levels, down * distance, right * distance)
    both = (levels > 0) & (other > 0)
    most = int(levels.max(initial=1))
    counts = np.zeros((most, most))
    np.add.at(counts, (levels[both] - 1, other[both] - 1), 1)
    return counts + counts.T


def haralick(counts: Array) -> list[float]:
    """The 13 features of a matrix of counts."""
    if not counts.sum():
        return [np.nan] * 13
    p = counts / counts.sum()
    i, j = np.indices(p.shape) + 1.0
    px = p.sum(axis=1)
    level = np.arange(1, len(px) + 1.0)
    mean = (level * px).sum()
    variance = ((level - mean) ** 2 * px).sum()
    sums = np.array([p[i + j == k].sum() for k in range(2 * len(px) + 1)])
    gaps = np.array([p[abs(i - j) == k].sum() for k in range(len(px))])
    k_sum, k_gap = np.arange(len(sums)), np.arange(len(gaps))
    sum_mean, gap_mean = (k_sum * sums).sum(), (k_gap * gaps).sum()
    hx, hxy = entropy(px), entropy(p)
    with np.errstate(divide="ignore", invalid="ignore"):
        independent = np.outer(px, px)
        logs = np.where(independent > 0, np.log2(np.where(independent > 0, independent, 1)), 0)
        hxy1 = -(p * logs).sum()
        hxy2 = -(independent * logs).sum()
    flat = (px > 0).sum() == 1
    return [
        (p**2).sum(),
        ((i - j) ** 2 * p).sum(),
        np.nan if flat else ((i - mean) * (j - mean) * p).sum() / variance,
        variance,
        (p / (1 + (i - j) ** 2)).sum(),
        sum_mean,
        ((k_sum - sum_mean) ** 2 * sums).sum(),
        entropy(sums),
        hxy,
        ((k_gap - gap_mean) ** 2 * gaps).sum(),
        entropy(gaps),
        np.nan if flat else (hxy - hxy1) / hx,
        np.sqrt(max(1 - np.exp(-2 * (hxy2 - hxy)), 0)),
    ]


def further(counts: Array, number: int) -> list[float]:
    """IBSI's other 12 features of a matrix of counts, of so many levels."""
    if not counts.sum():
        return [np.nan] * 12
    p = counts / counts.sum()
    i, j = np.indices(p.shape) + 1.0
    gap, mean = abs(i - j), (i * p).sum()
    unlike = gap > 0
    return [
        p.max(), mean, (gap * p).sum(), (gap * p).sum(), (p / (1 + gap)).sum(),
        (p / (1 + gap / number)).sum(), (p / (1 + (gap / number) ** 2)).sum(),
        (p[unlike] / gap[unlike] ** 2).sum(), (i * j * p).sum(),
        *[((i + j - 2 * mean) ** k * p).sum() for k in (2, 3, 4)],
    ]  # fmt: skip


def run_lengths(levels: Array, angle: str) -> Array:
    """Counts of runs by level and length, both from 1."""
    down, right = STEPS[angle]
    counts = np.zeros((int(levels.max(initial=1)), max(levels.shape)))
    h, w = levels.shape

    def at(y: int, x: int) -> int:
        return int(levels[y, x]) if 0 <= y < h and 0 <= x < w else 0

    for y, x in zip(*np.nonzero(levels), strict=True):
        level = at(y, x)
        if at(y - down, x - right) == level:
            continue
        length = 1
        while at(y + length * down, x + length * right) == level:
            length += 1
        counts[level - 1, length - 1] += 1
    return counts


def size_zones(levels: Array) -> Array:
    """Counts of zones by level and size, both from 1."""
    counts = np.zeros((int(levels.max(initial=1)), max(int((levels > 0).sum()), 1)))
    for level in np.unique(levels[levels > 0]):
        sizes = np.bincount(label(levels == level, connectivity=2).ravel())[1:]
        np.add.at(counts[level - 1], sizes - 1, 1)
    return counts


def dependences(levels: Array, alpha: int = 0) -> Array:
    """Counts of pixels by level and dependence, both from 1."""
    alike = np.zeros(levels.shape, int)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            other = shifted(levels, down, right)
            alike += (other > 0) & (abs(other - levels) <= alpha)
    counts = np.zeros((int(levels.max(initial=1)), 9))
    np.add.at(counts, (levels[levels > 0] - 1, alike[levels > 0] - 1), 1)
    return counts


def sixteen(counts: Array, pixels: int) -> list[float]:
    """What IBSI takes from a matrix of levels and sizes."""
    total = counts.sum()
    i, j = np.indices(counts.shape) + 1.0
    p = counts / total
    by_level, by_size = counts.sum(axis=1), counts.sum(axis=0)
    mean_level, mean_size = (i * p).sum(), (j * p).sum()
    return [
        (p / j**2).sum(), (p * j**2).sum(), (p / i**2).sum(), (p * i**2).sum(),
        (p / (i**2 * j**2)).sum(), (p * i**2 / j**2).sum(), (p * j**2 / i**2).sum(),
        (p * i**2 * j**2).sum(),
        (by_level**2).sum() / total, (by_level**2).sum() / total**2,
        (by_size**2).sum() / total, (by_size**2).sum() / total**2,
        total / pixels,
        ((i - mean_level) ** 2 * p).sum(), ((j - mean_size) ** 2 * p).sum(), entropy(p),
    ]  # fmt: skip


def glrlm(levels: Array, angle: str) -> list[float]:
    """Run lengths at an angle, or of all merged."""
    angles = ANGLES if angle == "merged" else (angle,)
    counts = sum(run_lengths(levels, a) for a in angles)
    return sixteen(np.asarray(counts), len(angles) * int((levels > 0).sum()))


def glszm(levels: Array) -> list[float]:
    """Size zones."""
    return sixteen(size_zones(levels), int((levels > 0).sum()))


def gldm(levels: Array, alpha: int = 0) -> list[float]:
    """Dependences: the 16, and the energy."""
    counts = dependences(levels, alpha)
    pixels = int((levels > 0).sum())
    return [*sixteen(counts, pixels), ((counts / pixels) ** 2).sum()]


def ngtdm(levels: Array) -> list[float]:
    """Differences of grey tones."""
    total, count = np.zeros(levels.shape), np.zeros(levels.shape)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            if down or right:
                other = shifted(levels, down, right)
                total += other
                count += other > 0
    valid = (levels > 0) & (count > 0)
    if not valid.any():
        return [np.nan] * 5
    gaps = np.abs(levels[valid] - total[valid] / count[valid])
    # A mean of equal levels is that level.
    gaps[gaps < 1e-12] = 0
    tones = np.unique(levels[valid])
    n = int(valid.sum())
    p = np.array([(levels[valid] == t).sum() for t in tones]) / n
    s = np.array([gaps[levels[valid] == t].sum() for t in tones])
    i, j = np.meshgrid(tones, tones, indexing="ij")
    pi, pj = np.meshgrid(p, p, indexing="ij")
    si, sj = np.meshgrid(s, s, indexing="ij")
    g = len(tones)
    change = np.abs(i * pi - j * pj).sum()
    return [
        1 / (p * s).sum() if s.sum() else np.nan,
        (pi * pj * (i - j) ** 2).sum() / (g * (g - 1)) * s.sum() / n if g > 1 else np.nan,
        (p * s).sum() / change if change else np.nan,
        (np.abs(i - j) * (pi * si + pj * sj) / (pi + pj)).sum() / n,
        ((pi + pj) * (i - j) ** 2).sum() / s.sum() if s.sum() else np.nan,
    ]
