"""Rules of the dataset-wide filter: which objects stay, by a statistic of all of them.

Every rule is a function

    rule(values, groups, n_groups, allreduce, **settings) -> Decision

``values`` are this rank's objects' statistics (a polygon's: two columns of them), ``groups`` their
groups; ``allreduce`` sums int64 arrays over the ranks. An object whose statistic is NaN or infinite
(its mask set dropped it, for one) counts in no statistic and is not kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scip_mpi.batches import BoolArray, FloatArray, Int64Array
from scip_mpi.errors import UserError
from scip_mpi.statistics import (
    Allreduce,
    count_finite,
    exact_sum,
    exact_sum_of_squares,
    mean_std,
    quantiles,
)

# The 5 % quantile of the standard normal distribution (Abramowitz and Stegun, table 26.1),
# as a double: scipy.stats.norm.ppf(0.05).
NORMAL_5_PERCENT = -1.6448536269514729


@dataclass(frozen=True)
class Decision:
    """What a rule decided.

    Attributes
    ----------
    keep : ndarray of bool, shape (n,)
        This rank's objects that stay.
    bounds : ndarray of float64, shape (n_groups, 2)
        Lowest and highest statistic of an object that stays, per group.
    excluded : int
        Objects of all ranks without a finite statistic.
    description : dict
        The same in words and numbers, for the provenance.
    """

    keep: BoolArray
    bounds: FloatArray
    excluded: int
    description: dict[str, object]


def threshold(
    values: FloatArray, groups: Int64Array, n_groups: int, allreduce: Allreduce
) -> Decision:
    """SCIP's filter: drop what is at or below the 5 % quantile of a normal distribution.

    The distribution has the mean and the population standard deviation of all objects. As in SCIP
    nothing is dropped where all are equal: a distribution without width has no quantiles.
    """
    counts = count_finite(values, groups, n_groups, allreduce)
    totals = allreduce(exact_sum(values, groups, n_groups))
    squares = allreduce(exact_sum_of_squares(values, groups, n_groups))
    bounds = np.full((n_groups, 2), (-np.inf, np.inf))
    for g in range(n_groups):
        mean, std = mean_std(int(counts[g]), totals[g], squares[g])
        if std != 0:
            bounds[g, 0] = np.nextafter(mean + NORMAL_5_PERCENT * std, np.inf)
    return _decide("threshold", values, groups, bounds, counts, allreduce)


def quantile(
    values: FloatArray,
    groups: Int64Array,
    n_groups: int,
    allreduce: Allreduce,
    *,
    lower: float = 0.0,
    upper: float = 1.0,
) -> Decision:
    """Keep what lies between two quantiles of all objects, both included.

    Quantiles are exact and interpolated linearly.

    Raises
    ------
    UserError
        Not 0 <= lower <= upper <= 1.
    """
    if not 0 <= lower <= upper <= 1:
        raise UserError(
            f"filter: quantile needs 0 <= lower <= upper <= 1, not lower {lower} and upper {upper}"
        )
    counts = count_finite(values, groups, n_groups, allreduce)
    bounds = quantiles(values, groups, n_groups, (lower, upper), allreduce)
    return _decide("quantile", values, groups, bounds, counts, allreduce)


def between(
    values: FloatArray,
    groups: Int64Array,
    n_groups: int,
    allreduce: Allreduce,
    *,
    lower: float | None = None,
    upper: float | None = None,
) -> Decision:
    """Keep what lies between two values, both included; no bound where none is given.

    Raises
    ------
    UserError
        Not lower <= upper.
    """
    counts = count_finite(values, groups, n_groups, allreduce)
    low = -np.inf if lower is None else lower
    high = np.inf if upper is None else upper
    if not low <= high:
        raise UserError(f"filter: range needs lower <= upper, not {low} and {high}")
    bounds = np.tile(np.array([low, high], np.float64), (n_groups, 1))
    return _decide("range", values, groups, bounds, counts, allreduce)


def mad(
    values: FloatArray,
    groups: Int64Array,
    n_groups: int,
    allreduce: Allreduce,
    *,
    n_mads: float = 3.0,
) -> Decision:
    """Keep what is at most ``n_mads`` median absolute deviations, unscaled, from the median.

    Raises
    ------
    UserError
        ``n_mads`` is negative, infinite or NaN.
    """
    if not 0 <= n_mads < np.inf:
        raise UserError(f"filter: mad needs a finite n_mads >= 0, not {n_mads}")
    counts = count_finite(values, groups, n_groups, allreduce)
    median = quantiles(values, groups, n_groups, (0.5,), allreduce)[:, 0]
    with np.errstate(invalid="ignore"):
        deviations = np.abs(values - median[groups])
    spread = quantiles(deviations, groups, n_groups, (0.5,), allreduce)[:, 0]
    bounds = np.column_stack([median - n_mads * spread, median + n_mads * spread])
    # The distance decides: bounds are rounded, and would lose values that lie just on them.
    near = np.isfinite(values) & (deviations <= (n_mads * spread)[groups])
    return _decide("mad", values, groups, bounds, counts, allreduce, near)


def polygon(
    values: FloatArray,
    groups: Int64Array,
    n_groups: int,
    allreduce: Allreduce,
    *,
    points: list[tuple[float, float]],
) -> Decision:
    """Keep what lies in a polygon of two statistics: a gate drawn in a scatter plot.

    Inside is where a ray crosses the outline an odd number of times; the outline's lower and left
    parts belong to it, the upper and right ones do not.

    Parameters
    ----------
    values : ndarray of float64, shape (n, 2)
        The statistics x and y.
    points : list of (x, y)
        Corners in order; the last one is joined to the first.

    Raises
    ------
    UserError
        There are fewer than three corners.
    """
    if len(points) < 3:
        raise UserError(f"filter: polygon needs at least 3 points, not {len(points)}")
    finite = np.isfinite(values[:, 0]) & np.isfinite(values[:, 1])
    x, y = np.where(finite[:, np.newaxis], values, 0.0).T
    inside = np.zeros(len(values), bool)
    corners = np.array(points, np.float64)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 != y1:
            beside = x < x0 + (y - y0) / (y1 - y0) * (x1 - x0)
            inside ^= ((y0 <= y) != (y1 <= y)) & beside
    counts = count_finite(np.where(finite, 0.0, np.nan), groups, n_groups, allreduce)
    bounds = np.full((n_groups, 2), np.nan)
    decision = _decide("polygon", values[:, 0], groups, bounds, counts, allreduce, inside & finite)
    return replace(decision, description=decision.description | {"bounds": corners.tolist()})


def _decide(
    name: str,
    values: FloatArray,
    groups: Int64Array,
    bounds: FloatArray,
    counts: Int64Array,
    allreduce: Allreduce,
    keep: BoolArray | None = None,
) -> Decision:
    if keep is None:
        keep = np.isfinite(values) & (values >= bounds[groups, 0]) & (values <= bounds[groups, 1])
    total, kept = allreduce(np.array([len(values), keep.sum()], np.int64)).tolist()
    description = {
        "rule": name,
        "bounds": [[None if np.isinf(b) or np.isnan(b) else b for b in row] for row in bounds],
        "objects": total,
        "kept": kept,
        "without_statistic": total - int(counts.sum()),
    }
    return Decision(keep, bounds, total - int(counts.sum()), description)
