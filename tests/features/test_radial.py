"""Rings and wedges against SciPy's distances and scikit-image's shortest paths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from masks import masks, runs_of
from odd_cells import Image, odd_cells
from scipy import ndimage
from skimage.graph import MCP_Geometric

from scip_mpi.errors import UserError
from scip_mpi.features import radial
from scip_mpi.features.distance import FAR, STEP, from_place, ringed, tight_box, to_outside


def distances(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """To the outside, from the centre (infinite where no path leads to), and the centre."""
    outside = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    centre = np.unravel_index(outside.argmax(), mask.shape)
    costs = np.where(mask, 1.0, -1.0)
    lengths, _ = MCP_Geometric(costs, fully_connected=True).find_costs([centre])
    return outside, np.where(mask, lengths, np.inf), (int(centre[0]), int(centre[1]))


def twin(image: Image, mask: np.ndarray, bins: int, radius: float | None) -> list[float]:
    rings = bins if radius is None else bins + 1
    table = np.full((3, rings), np.nan)
    if not mask.any():
        return table.ravel().tolist()
    outside, lengths, centre = distances(mask)
    reached = np.isfinite(lengths)
    part = lengths / (lengths + outside + 0.001) if radius is None else lengths / radius
    ring = np.minimum(np.where(reached, part, 0) * bins, bins).astype(int)
    dy, dx = np.indices(mask.shape) - np.reshape(centre, (2, 1, 1))
    wedge = (dy > 0) + 2 * (dx > 0) + 4 * (np.abs(dy) > np.abs(dx))
    values = image.astype(float)
    whole = values[reached].sum()
    for k in range(rings):
        here = reached & (ring == k)
        table[0, k] = values[here].sum() / whole if whole else np.nan
        if here.any():
            table[1, k] = table[0, k] / (here.sum() / reached.sum())
            means = [values[here & (wedge == w)].mean() for w in set(wedge[here].tolist())]
            table[2, k] = np.std(means) / np.mean(means) if np.mean(means) else np.nan
    return table.ravel().tolist()


@settings(max_examples=120, deadline=None)
@given(odd_cells(), st.integers(1, 6), st.sampled_from([None, 3.3, 100.0]))
def test_any_pixels_in_any_mask(
    drawn: tuple[Image, np.ndarray], bins: int, radius: float | None
) -> None:
    image, mask = drawn
    chosen = {} if radius is None else {"scaled": False, "maximum_radius": radius}
    family = radial.select(bins=bins, **chosen)  # type: ignore[arg-type]
    ours = [column[0] for column in family.measure([image], [mask], ["A"]).values()]
    with np.errstate(all="ignore"):
        theirs = twin(image[0], mask, bins, radius)
    values = image[0][mask].astype(float)
    if abs(values.sum()) < 1e-3 * np.abs(values).sum() or image.min() < 0:
        # Sums of cancelling pixels are known to a part of their terms.
        return
    assert np.allclose(ours, theirs, rtol=1e-6, atol=1e-9, equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(masks(30, 40))
def test_distances(mask: np.ndarray) -> None:
    if not mask.any():
        return
    runs, _ = runs_of(mask)
    shape = mask.shape[0] + 2, mask.shape[1] + 2
    inside, places = np.empty(shape[0] * shape[1], np.uint8), np.empty(mask.size, np.int32)
    box = tight_box(runs)
    down, across, n = ringed(runs, box, inside, places)
    assert n == mask.sum()
    inside, places = inside[: down * across], places[:n]
    squared, steps = np.empty(inside.size, np.int64), np.empty(inside.size, np.int64)
    to_outside(inside, down, across, np.empty((3, shape[1]), np.int64), squared)
    cut = mask[box[0] : box[2], box[1] : box[3]]
    outside, lengths, centre = distances(cut)
    ours = squared.reshape(down, across)[1:-1, 1:-1]
    assert np.array_equal(ours, np.round(outside**2))
    from_place(inside, across, places, (centre[0] + 1) * across + centre[1] + 1, steps)
    ours = steps.reshape(down, across)[1:-1, 1:-1]
    assert np.array_equal(ours < FAR, np.isfinite(lengths))
    reached = ours < FAR
    assert np.allclose(ours[reached] / STEP, lengths[reached], rtol=0, atol=1e-9)


def test_settings_out_of_range() -> None:
    for wrong in ({"bins": 0}, {"bins": 101}, {"maximum_radius": 0.0}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            radial.select(**wrong)  # type: ignore[arg-type]
