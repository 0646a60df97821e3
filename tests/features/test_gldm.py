"""Dependences, against their definition."""

from __future__ import annotations

import grey_twins
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_families import masked_cells, odd_images
from test_haralick import whole

from scip_mpi.errors import UserError
from scip_mpi.features import gldm
from scip_mpi.features.gldm import NAMES


def check(image: np.ndarray, mask: np.ndarray, number: int, alpha: int) -> None:
    ours = gldm.select(levels=number, mask="own", alpha=alpha).measure([image], [mask])
    for c, (plane, own) in enumerate(zip(image, mask, strict=True)):
        columns = [ours[f"gldm_{n}_{c}"][0] for n, _ in NAMES]
        if not own.any():
            assert np.isnan(columns).all()
            continue
        expected = grey_twins.gldm(grey_twins.levels_of(plane, own, number), alpha)
        np.testing.assert_allclose(columns, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(
    odd_images().filter(lambda d: whole(d[0])), st.sampled_from([2, 5, 256]),
    st.sampled_from([0, 1, 9]),
)  # fmt: skip
def test_odd_images(drawn: tuple[np.ndarray, np.ndarray], number: int, alpha: int) -> None:
    check(*drawn, number, alpha)


@settings(max_examples=40, deadline=None)
@given(masked_cells().filter(lambda d: whole(d[0])), st.sampled_from([4, 32]))
def test_any_mask_on_any_pixels(drawn: tuple[np.ndarray, np.ndarray], number: int) -> None:
    check(*drawn, number, 0)


@pytest.mark.parametrize("alpha", [-1, 256])
def test_a_strange_alpha_is_refused(alpha: int) -> None:
    with pytest.raises(UserError, match="alpha"):
        gldm.select(alpha=alpha)
