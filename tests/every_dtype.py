"""Images of each type that pixels come in, and what is exact of them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

DTYPES = ["uint8", "uint16", "int16", "int32", "float32", "float64"]


def images(dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    shapes = [(2, 5, 7), (2, 1, 1), (2, 1, 9), (2, 8, 1), (2, 30, 20)]
    if dtype.startswith("float"):
        return [(rng.standard_normal(s) * 1e3).astype(dtype) for s in shapes]
    info = np.iinfo(dtype)
    return [rng.integers(info.min, info.max, s, dtype, endpoint=True) for s in shapes]


def mean_of(x: np.ndarray) -> float:
    return float(sum(Fraction(float(v)) for v in x) / len(x))
