from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scip_mpi.segmentation.logarithm import log


def error(x: float) -> float:
    """Distance from the true logarithm, in units of the last place."""
    with localcontext() as context:
        context.prec = 60
        exact = Decimal(x).ln()
        unit = Decimal(math.ulp(float(exact)))
        return float(abs(Decimal(log(x)) - exact) / unit)


@settings(deadline=None, max_examples=500)
@given(st.floats(min_value=5e-324, max_value=1.7e308, exclude_min=False))
def test_any_number(x: float) -> None:
    assert log(1.0) == 0.0
    assert error(x) < 0.55


def test_numbers_as_thresholds_have_them() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate(
        [rng.random(3000), 2.0 ** rng.uniform(-40, 20, 3000), 1 + rng.random(3000) * 1e-3]
    )
    assert max(error(float(x)) for x in values) < 0.53
    # As near as the C library's, which it is equal to almost always.
    assert np.mean([log(float(x)) == math.log(x) for x in values]) > 0.97
