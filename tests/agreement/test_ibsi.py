"""First-order values of the IBSI phantom that the program computes.

IBSI states them with three digits and a tolerance of 0: they agree when they round to the same.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from scip_mpi.features import intensity

# IBSI's feature from our columns.
DERIVED = {
    "stat_mean": lambda c: c["mean"],
    "stat_var": lambda c: c["std"] ** 2,
    "stat_skew": lambda c: c["skewness"],
    "stat_kurt": lambda c: c["kurtosis"],
    "stat_median": lambda c: c["median"],
    "stat_min": lambda c: c["min"],
    "stat_max": lambda c: c["max"],
    "stat_range": lambda c: c["max"] - c["min"],
    "stat_iqr": lambda c: c["upper_quartile"] - c["lower_quartile"],
    "stat_qcod": lambda c: (
        (c["upper_quartile"] - c["lower_quartile"]) / (c["upper_quartile"] + c["lower_quartile"])
    ),
    "stat_cov": lambda c: c["std"] / c["mean"],
    "stat_rms": lambda c: math.hypot(c["mean"], c["std"]),
    "stat_energy": lambda c: (c["mean"] ** 2 + c["std"] ** 2) * c["sum"] / c["mean"],
}


@pytest.fixture(scope="module")
def columns(shared_dir: Path) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    text = (shared_dir / "reference" / "ibsi_phantom.json").read_text()
    phantom = json.loads(text)
    # Slice under slice: first-order values know nothing of neighbours.
    image = np.array(phantom["phantom"]["intensity"], np.uint16).reshape(-1, 5)
    mask = np.array(phantom["phantom"]["mask"], bool).reshape(-1, 5)
    found = intensity.measure([image], [mask], channel_names=["CT"])
    names = ["mean", "median", "max", "min", "std", "lower_quartile", "upper_quartile", "sum",
             "skewness", "kurtosis"]  # fmt: skip
    return {n: float(found[f"{n}_CT"][0]) for n in names}, phantom["reference"]["stat"]


@pytest.mark.parametrize("name", DERIVED)
def test_first_order(
    name: str, columns: tuple[dict[str, float], dict[str, dict[str, float]]]
) -> None:
    ours, reference = columns
    assert float(f"{DERIVED[name](ours):.3g}") == reference[name]["value"]
