"""Run lengths, against their definition."""

from __future__ import annotations

import grey_twins
import numpy as np
import pytest
from grey_twins import ANGLES
from hypothesis import given, settings
from hypothesis import strategies as st
from test_families import masked_cells, odd_images
from test_haralick import EVERY, whole

from scip_mpi.features import glrlm
from scip_mpi.features.glrlm import NAMES


def check(image: np.ndarray, mask: np.ndarray, number: int) -> None:
    ours = glrlm.select(levels=number, mask="own", statistics=EVERY).measure([image], [mask])
    for c, (plane, own) in enumerate(zip(image, mask, strict=True)):
        columns = np.array([[ours[f"glrlm_{n}_{s}_{c}"][0] for n, _ in NAMES] for s in EVERY])
        if not own.any():
            assert np.isnan(columns).all()
            continue
        levels = grey_twins.levels_of(plane, own, number)
        at = np.array([grey_twins.glrlm(levels, a) for a in (*ANGLES, "merged")])
        expected = np.vstack([at[:4].mean(axis=0), np.ptp(at[:4], axis=0), at[4], at[:4]])
        np.testing.assert_allclose(columns, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(odd_images().filter(lambda d: whole(d[0])), st.sampled_from([2, 5, 256]))
def test_odd_images(drawn: tuple[np.ndarray, np.ndarray], number: int) -> None:
    check(*drawn, number)


@settings(max_examples=20, deadline=None)
@given(masked_cells().filter(lambda d: whole(d[0])), st.sampled_from([4, 32]))
def test_any_mask_on_any_pixels(drawn: tuple[np.ndarray, np.ndarray], number: int) -> None:
    check(*drawn, number)


def test_runs_of_a_stripe() -> None:
    stripes = np.repeat([[1], [2], [1]], 7, axis=1).astype(np.uint8)
    found = glrlm.select(levels="given", statistics=["0deg", "90deg"]).measure([stripes])
    assert found["glrlm_long_runs_emphasis_0deg_0"][0] == 49
    assert found["glrlm_run_percentage_0deg_0"][0] == pytest.approx(3 / 21)
    assert found["glrlm_run_percentage_90deg_0"][0] == 1
