"""Shape of the masks: means over their components (family ``shape``)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.hull import convex_image, feret_diameter, hull_scratch
from scip_mpi.features.moments import moved, orientation, products_apart
from scip_mpi.features.perimeter import filled_area, perimeter, quads
from scip_mpi.features.shared import Shared
from scip_mpi.segmentation.components import label_runs, run_scratch

_SIMPLE = (
    ("area", "pixel^2", "Pixels."),
    ("convex_area", "pixel^2", "Pixels of the convex hull."),
    ("eccentricity", "1", "Of the ellipse with the same second moments."),
    ("equivalent_diameter", "pixel", "Diameter of the disc of the same area."),
    ("euler_number", "1", "One less the holes, pixels joined over corners."),
    ("feret_diameter_max", "pixel", "Largest distance of two points of the convex hull."),
    ("filled_area", "pixel^2", "Pixels with holes filled."),
    ("major_axis_length", "pixel", "Of the ellipse with the same second moments."),
    ("minor_axis_length", "pixel", "Of the ellipse with the same second moments."),
    ("orientation", "radian", "Angle of the major axis to the rows' direction, -pi/2 to pi/2."),
    ("perimeter", "pixel", "Line through the border pixels' centres, 4-neighbourhood."),
    ("perimeter_crofton", "pixel", "Crofton's formula in four directions."),
    ("solidity", "1", "Area over convex area."),
    ("extent", "1", "Area over that of the bounding box."),
)
# An empty mask has 0 in the first of these, as in SCIP, and NaN in all others.
_ZERO_IF_EMPTY = 11
_INERTIA = 14
_EIGENVALUES = 18
_MOMENTS = 20
_CENTRAL = 36
_HU = 52
N_SHAPE = 59
_HU_TEXT = "Hu's moment invariant of the component."


def _one_mask() -> list[tuple[str, str, str]]:
    pairs = [(i, j) for i in range(2) for j in range(2)]
    orders = [(i, j) for i in range(4) for j in range(4)]
    tensor = "Inertia tensor of the component about its centroid."
    return [
        *_SIMPLE,
        *((f"inertia_tensor-{i}-{j}", "pixel^2", tensor) for i, j in pairs),
        *((f"inertia_tensor_eigvals-{i}", "pixel^2", tensor) for i in range(2)),
        *((f"moments-{i}-{j}", f"pixel^{i + j + 2}", "Moment sum of row^i column^j, from the "
           "bounding box.") for i, j in orders),
        *((f"moments_central-{i}-{j}", f"pixel^{i + j + 2}", "Moment about the centroid.")
          for i, j in orders),
        *((f"moments_hu-{i}", "1", _HU_TEXT) for i in range(7)),
    ]  # fmt: skip


def features(channel_names: Sequence[str]) -> list[Feature]:
    """59 columns for the combined mask, then 59 for each channel's own mask."""
    return [
        Feature(f"{name}_{channel}", channel, unit, f"{text} Mean over components.")
        for channel in ("combined", *channel_names)
        for name, unit, text in _one_mask()
    ]


def compute(
    batch: ImageBatch, masks: SetMasks, shared: Shared, out: FloatArray, scratch: Scratch
) -> None:
    """Fill the rows of the objects that the mask set kept.

    Every property is scikit-image's ``regionprops`` of the 8-connected components and the plain
    mean over them. Moments are exact integers about the pixel nearest to the centroid, hence the
    orientation of isotropic components is too: -pi/4 or pi/4 by the sign of the mixed moment.

    References
    ----------
    Hu, "Visual pattern recognition by moment invariants", IRE Trans. Information Theory 8(2),
    1962; Burger and Burge, "Principles of Digital Image Processing", 2009.
    """
    if not len(batch):
        return
    height, width = (int(n) for n in batch.shapes[:, 1:].max(axis=0))
    _shape(
        batch.offsets, batch.planes, batch.shapes, masks.own, masks.combined, masks.kept,
        height, width, out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _shape(offsets, planes, shapes, own, combined, kept, height, width, out):
    runs, row_start, parent, order = run_scratch(height, width)
    first = np.empty(order.size + 1, np.int64)
    image = np.zeros((height + 4, width + 4), np.uint8)
    seen = np.empty((height + 2, width + 2), np.uint8)
    stack = np.empty((height + 2) * (width + 2), np.int64)
    extents = np.empty((2, height), np.int64)
    work = hull_scratch(height)
    for i in range(len(shapes)):
        if not kept[i]:
            continue
        channels, h, w = shapes[i]
        for k in range(channels + 1):
            if k == 0:
                mask = combined[planes[i] : planes[i] + h * w].reshape(h, w)
            else:
                at = offsets[i] + (k - 1) * h * w
                mask = own[at : at + h * w].reshape(h, w)
            values = out[i, k * N_SHAPE : (k + 1) * N_SHAPE]
            n = label_runs(mask, 1, 1, runs, row_start, parent)
            count = _group_runs(parent, n, order, first)
            values[:] = 0.0
            if count == 0:
                values[_ZERO_IF_EMPTY:] = np.nan
                continue
            for component in range(count):
                members = order[first[component] : first[component + 1]]
                _add_component(runs, members, image, seen, stack, extents, work, values)
            for j in range(N_SHAPE):
                values[j] /= count


@njit(cache=True, nogil=True, error_model="numpy")
def _group_runs(parent, n, order, first):
    """Runs of each component one after the other, in raster order; the number of components."""
    count = 0
    number = np.empty(n, np.int64)
    for r in range(n):
        if parent[r] == r:
            number[r] = count
            count += 1
        else:
            number[r] = number[parent[r]]
    first[: count + 1] = 0
    for r in range(n):
        first[number[r] + 1] += 1
    for k in range(count):
        first[k + 1] += first[k]
    place = first[:count].copy()
    for r in range(n):
        order[place[number[r]]] = r
        place[number[r]] += 1
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _add_component(runs, members, image, seen, stack, extents, work, out):
    """Add the properties of one component to ``out``."""
    top = runs[members[0], 0]
    h = runs[members[-1], 0] - top + 1
    start = runs[members[0], 1]
    stop = runs[members[0], 2]
    for r in members:
        start = min(start, runs[r, 1])
        stop = max(stop, runs[r, 2])
    w = stop - start
    left, right = extents
    left[:h] = w
    right[:h] = -1
    image[: h + 4, : w + 4] = 0
    area = 0
    sum_y = 0
    sum_x = 0
    for r in members:
        y = runs[r, 0] - top
        a = runs[r, 1] - start
        b = runs[r, 2] - start
        image[y + 2, a + 2 : b + 2] = 1
        left[y] = min(left[y], a)
        right[y] = max(right[y], b - 1)
        area += b - a
        sum_y += y * (b - a)
        sum_x += (a + b - 1) * (b - a) // 2
    # Moments about the whole pixel nearest to the centroid stay small, hence exact.
    near_y = (2 * sum_y + area) // (2 * area)
    near_x = (2 * sum_x + area) // (2 * area)
    near = np.zeros((4, 4))
    for r in members:
        y = np.float64(runs[r, 0] - top - near_y)
        powers = np.zeros(4)
        for x in range(runs[r, 1] - start - near_x, runs[r, 2] - start - near_x):
            powers[0] += 1.0
            powers[1] += x
            powers[2] += x * x
            powers[3] += x * x * x
        factor = 1.0
        for p in range(4):
            for q in range(4):
                near[p, q] += factor * powers[q]
            factor *= y
    raw = moved(near, np.float64(near_y), np.float64(near_x))
    central = moved(near, -near[1, 0] / area, -near[0, 1] / area)
    yy = products_apart(area, near[2, 0], near[1, 0], near[1, 0]) / area
    xx = products_apart(area, near[0, 2], near[0, 1], near[0, 1]) / area
    mixed = products_apart(area, near[1, 1], near[1, 0], near[0, 1])
    yx = mixed / area
    down = near[1, 0]
    over = near[0, 1]
    unequal = products_apart(area, near[2, 0] - near[0, 2], down + over, down - over)
    central[2, 0] = yy
    central[0, 2] = xx
    central[1, 1] = yx
    central[1, 0] = 0.0
    central[0, 1] = 0.0
    crofton, euler = quads(image, h, w)
    out[0] += area
    out[3] += math.sqrt(4.0 * area / math.pi)
    out[4] += euler
    out[6] += area if euler == 1 else filled_area(image, h, w, stack, seen)
    out[10] += perimeter(image, h, w)
    out[11] += crofton
    convex = convex_image(left, right, h, work)
    out[1] += convex
    out[5] += feret_diameter(left, right, h, work)
    out[12] += area / convex
    out[13] += area / (h * w)
    _add_ellipse(yy / area, xx / area, yx / area, out)
    out[9] += orientation(unequal, mixed)
    for p in range(4):
        for q in range(4):
            out[_MOMENTS + 4 * p + q] += raw[p, q]
            out[_CENTRAL + 4 * p + q] += central[p, q]
    _add_hu(central, np.float64(area), out[_HU:])


@njit(cache=True, nogil=True, error_model="numpy")
def _add_ellipse(yy, xx, yx, out):
    """Inertia tensor, its eigenvalues, and the ellipse with the same second moments."""
    half = 0.5 * (yy + xx)
    spread = math.sqrt(0.25 * (xx - yy) * (xx - yy) + yx * yx)
    large = half + spread
    small = max(half - spread, 0.0)
    if large > 0.0 and small < 1e-3 * large:
        # The product is known better than the difference.
        small = max((yy * xx - yx * yx) / large, 0.0)
    out[_INERTIA] += xx
    out[_INERTIA + 1] -= yx
    out[_INERTIA + 2] -= yx
    out[_INERTIA + 3] += yy
    out[_EIGENVALUES] += large
    out[_EIGENVALUES + 1] += small
    out[2] += math.sqrt(1.0 - small / large) if large > 0.0 else 0.0
    out[7] += 4.0 * math.sqrt(large)
    out[8] += 4.0 * math.sqrt(small)


@njit(cache=True, nogil=True, error_model="numpy")
def _add_hu(mu, area, out):
    """Hu's seven invariants of normalised central moments."""
    second = area * area
    third = second * math.sqrt(area)
    n20, n02, n11 = mu[2, 0] / second, mu[0, 2] / second, mu[1, 1] / second
    n30, n03 = mu[3, 0] / third, mu[0, 3] / third
    n21, n12 = mu[2, 1] / third, mu[1, 2] / third
    s = n30 + n12
    t = n21 + n03
    u = n30 - 3.0 * n12
    v = 3.0 * n21 - n03
    d = n20 - n02
    ss = s * s
    tt = t * t
    out[0] += n20 + n02
    out[1] += d * d + 4.0 * n11 * n11
    out[2] += u * u + v * v
    out[3] += ss + tt
    out[4] += u * s * (ss - 3.0 * tt) + v * t * (3.0 * ss - tt)
    out[5] += d * (ss - tt) + 4.0 * n11 * s * t
    out[6] += v * s * (ss - 3.0 * tt) - u * t * (3.0 * ss - tt)


FAMILY = Family("shape", features, compute)
measure = FAMILY.measure
