"""Quantiles of masked pixels against numpy, for any partition over ranks; scaling by them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scip_mpi.batches import ImageBatch
from scip_mpi.normalization import MaskedPixels, pixel_quantiles, scaled
from scip_mpi.parallel.inprocess import run_threads

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"]
FRACTIONS = [(0.0, 1.0), (0.01, 0.99), (0.3, 0.31)]


def made_up(dtype: str, seed: int, sets: int = 2) -> list[MaskedPixels]:
    rng = np.random.default_rng(seed)
    batches = []
    for mask_set in range(sets):
        for _ in range(3):
            shapes = [(2, *rng.integers(1, 7, 2)) for _ in range(3)]
            if dtype[0] == "f":
                images = [(rng.standard_normal(s) * 10.0 ** rng.integers(-3, 9)).astype(dtype)
                          for s in shapes]  # fmt: skip
            else:
                info = np.iinfo(dtype)
                images = [rng.integers(info.min, info.max, s, dtype, True) for s in shapes]
            batch = ImageBatch.from_images(images)
            own = rng.integers(0, 2, batch.pixels.size).astype(np.uint8)
            # Group 2 has no object.
            batches.append(MaskedPixels(batch, own, mask_set, rng.integers(0, 2, 3)))
    return batches


def wanted(batches: list[MaskedPixels], fractions: tuple[float, float]) -> np.ndarray:
    out = np.full((2, 3, 2, 2), np.nan)
    for s, g, c in np.ndindex(2, 3, 2):
        values = [np.empty(0)]
        for b in batches:
            masks = ImageBatch(b.own, b.batch.offsets, b.batch.shapes, b.batch.index)
            if b.mask_set == s:
                values += [
                    im[c][m[c] > 0].astype(np.float64)
                    for im, m, group in zip(b.batch, masks, b.groups, strict=True)
                    if group == g
                ]
        if len(np.concatenate(values)):
            out[s, g, c] = np.quantile(np.concatenate(values), fractions)
    return out


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(DTYPES), st.sampled_from(FRACTIONS), st.integers(0, 99), st.sampled_from([1, 3])
)
def test_quantiles_are_numpys(
    dtype: str, fractions: tuple[float, float], seed: int, ranks: int
) -> None:
    batches = made_up(dtype, seed)

    def one(world) -> np.ndarray:
        def mine() -> Iterator[MaskedPixels]:
            return iter(batches[world.rank :: world.size])

        return pixel_quantiles(mine, (2, 3, 2), fractions, np.dtype(dtype), world.allreduce)

    found = run_threads(ranks, one)
    want = wanted(batches, fractions)
    for each in found:
        assert each.tobytes() == found[0].tobytes()
    np.testing.assert_allclose(found[0], want, rtol=1e-15)
    assert np.isnan(found[0][:, 2]).all()
    assert np.isfinite(found[0][:, :2]).any()


def test_scaled_pixels() -> None:
    images = [np.array([[[10, 30]], [[7, 7]]], np.uint8), np.array([[[5]], [[9]]], np.uint8)]
    low = np.array([[10.0, 7.0], [1.0, np.nan]])
    high = np.array([[20.0, 7.0], [5.0, np.nan]])
    found = scaled(ImageBatch.from_images(images), low, high)
    assert found.image(0).tolist() == [[[0, 2]], [[0, 0]]]
    assert found.image(1).tolist() == [[[1]], [[0]]]
    assert found.pixels.dtype == np.float64


@pytest.mark.parametrize("dtype", DTYPES)
def test_extremes_of_a_type(dtype: str) -> None:
    info = np.finfo(dtype) if dtype[0] == "f" else np.iinfo(dtype)
    values = np.array([info.min, info.max, 0], dtype).reshape(1, 1, 3)
    batch = ImageBatch.from_images([values])
    pixels = MaskedPixels(batch, np.ones(3, np.uint8), 0, np.zeros(1, np.int64))
    found = pixel_quantiles(
        lambda: iter([pixels]), (1, 1, 1), (0.0, 1.0), np.dtype(dtype), lambda a: a
    )
    assert found.reshape(-1).tolist() == [float(info.min), float(info.max)]
