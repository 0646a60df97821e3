"""Differences of grey tones, against their definition."""

from __future__ import annotations

import grey_twins
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_families import masked_cells, odd_images
from test_haralick import whole

from scip_mpi.features import ngtdm


def check(image: np.ndarray, mask: np.ndarray, number: int) -> None:
    ours = ngtdm.select(levels=number, mask="own").measure([image], [mask])
    columns = np.array([float(v[0]) for v in ours.values()]).reshape(len(image), 5)
    for plane, own, found in zip(image, mask, columns, strict=True):
        if not own.any():
            assert np.isnan(found).all()
            continue
        expected = grey_twins.ngtdm(grey_twins.levels_of(plane, own, number))
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(odd_images().filter(lambda d: whole(d[0])), st.sampled_from([2, 5, 256]))
def test_odd_images(drawn: tuple[np.ndarray, np.ndarray], number: int) -> None:
    check(*drawn, number)


@settings(max_examples=40, deadline=None)
@given(masked_cells().filter(lambda d: whole(d[0])), st.sampled_from([4, 32]))
def test_any_mask_on_any_pixels(drawn: tuple[np.ndarray, np.ndarray], number: int) -> None:
    check(*drawn, number)


def test_what_a_flat_mask_and_lone_pixels_leave_undefined() -> None:
    flat = [float(v[0]) for v in ngtdm.measure([np.full((4, 4), 7, np.uint8)]).values()]
    assert np.isnan([flat[k] for k in (0, 1, 2, 4)]).all()
    assert flat[3] == 0
    lone = np.zeros((5, 5), bool)
    lone[0, 0] = lone[3, 3] = True
    image = np.arange(25, dtype=np.uint8).reshape(5, 5)
    assert np.isnan(list(ngtdm.measure([image], [lone]).values())).all()


def test_the_example_in_the_documentation_of_pyradiomics() -> None:
    levels = np.array([[1, 2, 5, 2], [3, 5, 1, 3], [1, 3, 5, 5], [3, 1, 1, 1]], np.uint8)
    # It states, for the levels that occur, these shares and sums of differences.
    p, s = np.array([0.375, 0.125, 0.25, 0.25]), np.array([13.35, 2.0, 3.03, 10.075])
    found = ngtdm.select(levels="given").measure([levels])
    assert found["ngtdm_coarseness_0"][0] == pytest.approx(1 / (p * s).sum(), rel=1e-3)
    tones = np.array([1, 2, 3, 5])
    spread = (np.outer(p, p) * np.subtract.outer(tones, tones) ** 2).sum() / (4 * 3)
    assert found["ngtdm_contrast_0"][0] == pytest.approx(spread * s.sum() / 16, rel=1e-3)
