"""Grey-level co-occurrence and gradient within the masks (family ``texture``)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.shared import Shared

BINS = 15
LEVELS = BINS + 1  # the smallest value has a level of its own
OUTSIDE = LEVELS
DISTANCES = (3, 5)
# (rows, columns) between the pixels of a pair: distances 3 and 5 at 45 and 135 degrees, rounded.
# The opposite angles, 225 and 315 degrees, give the same counts.
OFFSETS = np.array([[2, 2], [2, -2], [4, 4], [4, -4]], np.int64)
PROPERTIES = (
    ("contrast", "Mean squared difference of the levels of a pair (IBSI ACUI)."),
    ("dissimilarity", "Mean absolute difference of the levels of a pair (IBSI 8S9J)."),
    ("homogeneity", "Mean of 1 / (1 + squared difference) over pairs (IBSI WF0Z)."),
    ("energy", "Root of the angular second moment."),
    ("correlation", "Correlation of the levels of a pair (IBSI NI2N); 1 where they are all equal."),
    ("ASM", "Angular second moment: sum of the squared probabilities (IBSI 8ZQL)."),
)
SOBEL = ("mean", "std", "max", "min")
PER_MASK = len(PROPERTIES) * 2 * len(DISTANCES) + len(SOBEL)


def features(channel_names: Sequence[str]) -> list[Feature]:
    """28 columns per channel for its own mask, then 28 for the combined mask."""
    found = []
    for channel in channel_names:
        for prefix, mask in (("", "the channel's mask"), ("combined_", "the combined mask")):
            for name, text in PROPERTIES:
                for over in ("mean", "std"):
                    for distance in DISTANCES:
                        where = f"{over.capitalize()} over angles, distance {distance}, in {mask}."
                        column = f"{prefix}glcm_{over}_{name}_{distance}_{channel}"
                        found.append(Feature(column, channel, "1", f"{text} {where}"))
            for over in SOBEL:
                text = f"{over.capitalize()} of the Sobel gradient magnitude in {mask}."
                column = f"{prefix}sobel_{over}_{channel}"
                found.append(Feature(column, channel, "intensity", text))
    return found


def compute(
    batch: ImageBatch, masks: SetMasks, shared: Shared, out: FloatArray, scratch: Scratch
) -> None:
    """Fill the rows of the objects that the mask set kept.

    Pixels of the mask are put into 15 bins of equal width between the smallest and the largest of
    them, the smallest being a level of its own; pairs with a pixel outside the mask do not count.
    The gradient is taken where all eight neighbours (the image's edge pixels repeated) are in the
    mask. NaN where the mask is empty, or no gradient is left; where there is no pair, the
    correlation is 1 and everything else 0.

    References
    ----------
    Haralick, Shanmugam and Dinstein, "Textural features for image classification", IEEE Trans.
    Systems, Man and Cybernetics 3(6), 1973.
    """
    if not len(batch):
        return
    size = int((batch.shapes[:, 1] * batch.shapes[:, 2]).max())
    _texture(
        batch.pixels, batch.offsets, batch.planes, batch.shapes, shared.order,
        masks.own, masks.combined, masks.kept,
        scratch.array("levels", size, np.uint8),
        scratch.array("gradient", size, np.float64),
        out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _texture(pixels, offsets, planes, shapes, order, own, combined, kept, levels, gradient, out):
    counts = np.empty((len(OFFSETS), LEVELS, LEVELS), np.int64)
    for i in range(len(shapes)):
        if not kept[i]:
            continue
        channels, h, w = shapes[i]
        n = h * w
        union = combined[planes[i] : planes[i] + n].reshape(h, w)
        for c in range(channels):
            at = offsets[i] + c * n
            plane = pixels[at : at + n].reshape(h, w)
            ascending = order[at : at + n]
            _gradient(plane, gradient[:n].reshape(h, w))
            row = out[i, 2 * c * PER_MASK : 2 * (c + 1) * PER_MASK]
            for which in range(2):
                mask = union if which else own[at : at + n].reshape(h, w)
                values = row[which * PER_MASK : (which + 1) * PER_MASK]
                if not _quantise(plane, ascending, mask, levels[:n].reshape(h, w)):
                    values[:] = np.nan
                    continue
                _count_pairs(levels[:n].reshape(h, w), counts)
                _properties(counts, values)
                _gradient_statistics(
                    gradient[:n].reshape(h, w), mask, values[PER_MASK - len(SOBEL) :]
                )


@njit(cache=True, nogil=True, error_model="numpy")
def _quantise(plane, ascending, mask, levels):
    """Level of each pixel of the mask, `OUTSIDE` elsewhere; whether the mask has any pixel.

    numpy's ``digitize(right=True)`` on ``histogram_bin_edges``: a value on an edge belongs to the
    bin below, so the edges are numpy's own, to the last bit.
    """
    n = ascending.size
    width = plane.shape[1]
    flat_plane = plane.reshape(n)
    flat_mask = mask.reshape(n)
    flat = levels.reshape(n)
    flat[:] = OUTSIDE
    first = 0
    while first < n and not flat_mask[ascending[first]]:
        first += 1
    if first == n:
        return False
    last = n - 1
    while not flat_mask[ascending[last]]:
        last -= 1
    low = np.float64(flat_plane[ascending[first]])
    high = np.float64(flat_plane[ascending[last]])
    if low == high:
        low -= 0.5
        high += 0.5
    step = (high - low) / BINS
    level = 0
    edge = low
    for k in range(first, last + 1):
        position = ascending[k]
        if flat_mask[position]:
            value = np.float64(flat_plane[position])
            while value > edge:
                level += 1
                edge = high if level == BINS else level * step + low
                if level > BINS:
                    edge = np.inf
            flat[position] = level
    return width > 0


@njit(cache=True, nogil=True, error_model="numpy")
def _count_pairs(levels, counts):
    """Counts of the levels of pairs, per offset, in one direction."""
    height, width = levels.shape
    counts[:] = 0
    for k in range(len(OFFSETS)):
        dy, dx = OFFSETS[k]
        for y in range(height - dy):
            for x in range(max(0, -dx), min(width, width - dx)):
                a = levels[y, x]
                b = levels[y + dy, x + dx]
                if a != OUTSIDE and b != OUTSIDE:
                    counts[k, a, b] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _properties(counts, out):
    """The properties of the symmetric, normalised matrices; mean and std over the angles."""
    found = np.zeros((len(OFFSETS), len(PROPERTIES)))
    for k in range(len(OFFSETS)):
        pairs = 0
        contrast = 0
        dissimilarity = 0
        homogeneity = 0.0
        squares = 0
        first = 0
        second = 0
        product = 0
        for i in range(LEVELS):
            for j in range(i, LEVELS):
                count = counts[k, i, j]
                if i != j:
                    count += counts[k, j, i]
                if count == 0:
                    continue
                gap = j - i
                pairs += count
                contrast += gap * gap * count
                dissimilarity += gap * count
                homogeneity += count / (1.0 + gap * gap)
                first += (i + j) * count
                second += (i * i + j * j) * count
                product += i * j * count
                squares += 4 * count * count if i == j else 2 * count * count
        if pairs == 0:
            found[k, 4] = 1.0
            continue
        # Symmetric: each pair counts in both directions, 2 * pairs in all.
        moment = squares / (4.0 * pairs * pairs)
        # Exact integers: variance and covariance times (2 * pairs)^2.
        variance = 2 * pairs * second - first * first
        covariance = 4 * pairs * product - first * first
        found[k, 0] = contrast / pairs
        found[k, 1] = dissimilarity / pairs
        found[k, 2] = homogeneity / pairs
        found[k, 3] = math.sqrt(moment)
        found[k, 4] = 1.0 if variance == 0 else covariance / variance
        found[k, 5] = moment
    for p in range(len(PROPERTIES)):
        for d in range(len(DISTANCES)):
            a = found[2 * d, p]
            b = found[2 * d + 1, p]
            out[4 * p + d] = 0.5 * (a + b)
            out[4 * p + 2 + d] = 0.5 * abs(a - b)


@njit(cache=True, nogil=True, error_model="numpy")
def _gradient(plane, out):
    """Sobel magnitude of the whole plane, the edge pixels repeated."""
    height, width = plane.shape
    for y in range(height):
        a = max(y - 1, 0)
        c = min(y + 1, height - 1)
        for x in range(width):
            w = max(x - 1, 0)
            e = min(x + 1, width - 1)
            nw, n, ne = np.float64(plane[a, w]), np.float64(plane[a, x]), np.float64(plane[a, e])
            west, east = np.float64(plane[y, w]), np.float64(plane[y, e])
            sw, s, se = np.float64(plane[c, w]), np.float64(plane[c, x]), np.float64(plane[c, e])
            down = (sw - nw) + 2.0 * (s - n) + (se - ne)
            over = (ne - nw) + 2.0 * (east - west) + (se - sw)
            # Each direction is divided by 4, the magnitude by the root of 2.
            out[y, x] = math.sqrt((down * down + over * over) * 0.03125)


@njit(cache=True, nogil=True, error_model="numpy")
def _gradient_statistics(gradient, mask, out):
    """Mean, std, max and min of the gradient where all eight neighbours are in the mask."""
    height, width = mask.shape
    n = 0
    total = 0.0
    high = -np.inf
    low = np.inf
    mean = 0.0
    squares = 0.0
    for turn in range(2):
        for y in range(height):
            a = max(y - 1, 0)
            c = min(y + 1, height - 1)
            for x in range(width):
                w = max(x - 1, 0)
                e = min(x + 1, width - 1)
                if not (
                    mask[a, w] and mask[a, x] and mask[a, e] and mask[y, w] and mask[y, e]
                    and mask[c, w] and mask[c, x] and mask[c, e]
                ):  # fmt: skip
                    continue
                value = gradient[y, x]
                if turn:
                    squares += (value - mean) * (value - mean)
                else:
                    n += 1
                    total += value
                    high = max(high, value)
                    low = min(low, value)
        if n == 0:
            out[:] = np.nan
            return
        mean = total / n
    out[0] = mean
    out[1] = math.sqrt(squares / n)
    out[2] = high
    out[3] = low


FAMILY = Family("texture", features, compute, frozenset({"sorted"}))
measure = FAMILY.measure
