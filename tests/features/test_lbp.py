"""Local binary patterns, against their definition pixel by pixel, and scikit-image's patterns."""

from __future__ import annotations

import filter_twins
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.feature import local_binary_pattern
from test_families import masked_cells, odd_images

from scip_mpi.errors import UserError
from scip_mpi.features import lbp
from scip_mpi.features.lbp import BINS


def check(image: np.ndarray, mask: np.ndarray, distance: int) -> None:
    ours = lbp.select(mask="own", distance=distance).measure([image], [mask])
    found = np.array([v[0] for v in ours.values()]).reshape(len(image), BINS)
    expected = [filter_twins.lbp(p, m, distance) for p, m in zip(image, mask, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@settings(max_examples=100, deadline=None)
@given(odd_images(), st.sampled_from([1, 2]))
def test_odd_images(drawn: tuple[np.ndarray, np.ndarray], distance: int) -> None:
    check(*drawn, distance)


@settings(max_examples=30, deadline=None)
@given(masked_cells(), st.sampled_from([1, 3]))
def test_any_mask_on_any_pixels(drawn: tuple[np.ndarray, np.ndarray], distance: int) -> None:
    check(*drawn, distance)


def test_all_patterns_are_put_where_scikit_image_puts_them() -> None:
    # scikit-image's neighbours lie on a circle, between pixels at the corners. A corner of 12000
    # beside 0 stays above, one of -12000 below the centre, whatever is mixed in: 100 or -100.
    for code in range(256):
        plane = np.zeros((3, 3), int)
        for k, (down, right) in enumerate(filter_twins.CIRCLE):
            size = 100 if k % 2 == 0 else 12000
            plane[1 + down, 1 + right] = size if code >> k & 1 else -size
        theirs = int(local_binary_pattern(plane, 8, 1, "uniform")[1, 1])
        ours = [float(v[0]) for v in lbp.measure([plane]).values()]
        assert ours.index(1.0) == theirs, code


def test_a_pixel_that_is_no_number_leaves_nothing() -> None:
    image = np.ones((2, 5, 5))
    image[0, 2, 2] = np.nan
    found = lbp.measure([image])
    assert np.isnan(found["lbp_uniform_8_0"][0])
    assert found["lbp_uniform_8_1"][0] == 1


@pytest.mark.parametrize("distance", [0, 65])
def test_a_strange_distance_is_refused(distance: int) -> None:
    with pytest.raises(UserError, match="distance"):
        lbp.select(distance=distance)
