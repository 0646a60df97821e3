"""Size zones, against scikit-image's components."""

from __future__ import annotations

import grey_twins
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from test_families import masked_cells, odd_images
from test_haralick import whole

from scip_mpi.features import glszm
from scip_mpi.features.glszm import NAMES


def check(image: np.ndarray, mask: np.ndarray, number: int) -> None:
    ours = glszm.select(levels=number, mask="own").measure([image], [mask])
    for c, (plane, own) in enumerate(zip(image, mask, strict=True)):
        columns = [ours[f"glszm_{n}_{c}"][0] for n, _ in NAMES]
        if not own.any():
            assert np.isnan(columns).all()
            continue
        expected = grey_twins.glszm(grey_twins.levels_of(plane, own, number))
        np.testing.assert_allclose(columns, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(odd_images().filter(lambda d: whole(d[0])), st.sampled_from([2, 5, 256]))
def test_odd_images(drawn: tuple[np.ndarray, np.ndarray], number: int) -> None:
    check(*drawn, number)


@settings(max_examples=60, deadline=None)
@given(masked_cells().filter(lambda d: whole(d[0])), st.sampled_from([2, 4, 32]))
def test_any_mask_on_any_pixels(drawn: tuple[np.ndarray, np.ndarray], number: int) -> None:
    check(*drawn, number)


def test_zones_that_meet_late_are_one() -> None:
    # A comb, a spiral and a chain over corners: their parts meet only at the end.
    comb = np.ones((6, 21), int)
    comb[:-1, 1::2] = 2
    spiral = np.full((9, 9), 2)
    spiral[0], spiral[:, 8], spiral[8], spiral[2:, 0], spiral[2, :7] = 1, 1, 1, 1, 1
    chain = np.where(np.indices((7, 7)).sum(axis=0) % 2, 1, 2)
    for levels in (comb, spiral, chain, comb[::-1], comb[:, ::-1], spiral.T):
        ours = glszm.select(levels="given").measure([levels.astype(np.uint8)])
        found = [float(v[0]) for v in ours.values()]
        np.testing.assert_allclose(found, grey_twins.glszm(levels), rtol=1e-12)
