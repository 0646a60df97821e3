"""The 59 properties of one component of a mask."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from scip_mpi.features.hull import convex_image, feret_diameter, hull_scratch
from scip_mpi.features.moments import moved, orientation, products_apart
from scip_mpi.features.perimeter import area_of_holes, crofton, perimeter

# An empty mask has 0 in the first of these, as in SCIP, and NaN in all others.
ZERO_IF_EMPTY = 11
INERTIA = 14
EIGENVALUES = 18
MOMENTS = 20
CENTRAL = 36
HU = 52
N_SHAPE = 59
# The work on a component, and the columns that need it; the area needs none of it.
WORK = (
    (2, 7, 8, 9, *range(INERTIA, N_SHAPE)),  # moments
    (4, 6, 11),  # neighbours
    (6,),  # holes filled
    (10,),  # perimeter
    (1, 5, 12),  # convex hull
    (5,),  # largest diameter
)
OF_MOMENTS, OF_NEIGHBOURS, OF_HOLES, OF_PERIMETER, OF_HULL, OF_DIAMETER = range(len(WORK))


@njit(cache=True, nogil=True, error_model="numpy")
def component_scratch(capacity, height, words):
    """Work space of `add_component` for masks up to some number of runs, rows and words of bits."""
    gaps = capacity + height + 2
    return (
        np.empty((gaps, 3), np.int64),
        np.empty((gaps, 3), np.int64),
        np.empty(gaps, np.int64),
        np.empty((gaps, 3), np.int64),
        np.empty(words, np.uint64),
        np.empty(words, np.uint64),
        np.empty((2, height), np.int64),
        hull_scratch(height),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def add_component(runs, members, touching, scratch, work, out):
    """Add the properties of one component to ``out``; 0 where ``work`` leaves them out.

    Parameters
    ----------
    runs : (n, 3) int64
        Row, first column and end column; ``members`` are the component's, in raster order.
    touching : (n, 3) int64
        As `scip_mpi.features.runs.join_runs` leaves it.
    scratch : tuple
        Of `component_scratch`.
    work : (6,) uint8
        What is to be done of `WORK`.
    out : (59,) float64
    """
    parts, gaps, parent, spare, bits, border, (left, right), hull = scratch
    top = runs[members[0], 0]
    h = runs[members[-1], 0] - top + 1
    start = runs[members[0], 1]
    stop = runs[members[0], 2]
    for r in members:
        start = min(start, runs[r, 1])
        stop = max(stop, runs[r, 2])
    w = stop - start
    part = parts[: members.size]
    left[:h] = w
    area = 0
    sum_y = 0
    sum_x = 0
    links = 0
    over_sides = 0
    over_corners = 0
    for k in range(members.size):
        r = members[k]
        y = runs[r, 0] - top
        a = runs[r, 1] - start
        b = runs[r, 2] - start
        part[k, 0] = y
        part[k, 1] = a
        part[k, 2] = b
        left[y] = min(left[y], a)
        right[y] = b - 1
        area += b - a
        sum_y += y * (b - a)
        sum_x += (a + b - 1) * (b - a) // 2
        links += touching[r, 0]
        over_sides += touching[r, 1]
        over_corners += touching[r, 2]
    out[0] += area
    out[3] += math.sqrt(4.0 * area / math.pi)
    out[13] += area / (h * w)
    # Two runs that touch close a hole exactly if they were joined already.
    holes = 1 - (members.size - links)
    if work[OF_NEIGHBOURS]:
        out[4] += 1 - holes
        # In a row each pixel but a run's first has one before it.
        out[11] += crofton(area, area - members.size + over_sides, over_corners)
        if work[OF_HOLES]:
            out[6] += area
            if holes:
                out[6] += area_of_holes(part, h, w, gaps, parent, spare)
    if work[OF_PERIMETER]:
        out[10] += perimeter(part, h, w, bits, border)
    if work[OF_HULL]:
        convex = convex_image(left, right, h, hull)
        out[1] += convex
        out[12] += area / convex
        if work[OF_DIAMETER]:
            out[5] += feret_diameter(left, right, h, hull)
    if work[OF_MOMENTS]:
        _add_moments(part, area, sum_y, sum_x, out)


@njit(cache=True, nogil=True, error_model="numpy")
def _add_moments(part, area, sum_y, sum_x, out):
    """Add the moments of a component, and all that follows from them."""
    # Moments about the whole pixel nearest to the centroid stay small, hence exact.
    near_y = (2 * sum_y + area) // (2 * area)
    near_x = (2 * sum_x + area) // (2 * area)
    near = np.zeros((4, 4))
    powers = np.empty(4)
    for r in range(len(part)):
        y = np.float64(part[r, 0] - near_y)
        a = part[r, 1] - near_x
        b = part[r, 2] - near_x
        # Sums of x, x^2 and x^3 up to the run's end, less those up to its start.
        powers[0] = b - a
        powers[1] = b * (b - 1) // 2 - a * (a - 1) // 2
        powers[2] = b * (b - 1) * (2 * b - 1) // 6 - a * (a - 1) * (2 * a - 1) // 6
        powers[3] = (b * (b - 1) // 2) ** 2 - (a * (a - 1) // 2) ** 2
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
    _add_ellipse(yy / area, xx / area, yx / area, out)
    out[9] += orientation(unequal, mixed)
    for p in range(4):
        for q in range(4):
            out[MOMENTS + 4 * p + q] += raw[p, q]
            out[CENTRAL + 4 * p + q] += central[p, q]
    add_hu(central, np.float64(area), out[HU:])


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
    out[INERTIA] += xx
    out[INERTIA + 1] -= yx
    out[INERTIA + 2] -= yx
    out[INERTIA + 3] += yy
    out[EIGENVALUES] += large
    out[EIGENVALUES + 1] += small
    out[2] += math.sqrt(1.0 - small / large) if large > 0.0 else 0.0
    out[7] += 4.0 * math.sqrt(large)
    out[8] += 4.0 * math.sqrt(small)


@njit(cache=True, nogil=True, error_model="numpy")
def add_hu(mu, area, out):
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
