"""Measurements of objects against numpy and rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import tifffile
from cells import jurkat_files
from every_dtype import DTYPES, images, mean_of
from skimage.measure import label, regionprops

from scip_mpi.batches import ImageBatch
from scip_mpi.measure import (
    STATISTICS,
    Statistic,
    measure,
    measure_all,
    measure_each,
)


def std_of(x: np.ndarray) -> float:
    exact = [Fraction(float(v)) for v in x]
    centre = sum(exact) / len(exact)
    return math.sqrt(sum((v - centre) ** 2 for v in exact) / len(exact))


TWINS = {
    "area": len,
    "sum": lambda x: math.fsum(x.tolist()),
    "mean": mean_of,
    "std": std_of,
    "min": min,
    "max": max,
}
LEVEL = 90.0


def ratio_of_axes(x: np.ndarray, inside: np.ndarray) -> float:
    """Of scikit-image, whose major axis is 0 for a single pixel."""
    found = regionprops(inside.astype(np.uint8))[0]
    if found.axis_major_length == 0:
        return 1.0
    return found.axis_minor_length / found.axis_major_length


def steps_within(x: np.ndarray, inside: np.ndarray) -> float:
    """Root mean square of the differences of neighbours that are both inside."""
    values = np.where(inside, x.astype(float), np.nan)
    steps = np.concatenate([np.diff(values, axis=axis).reshape(-1) for axis in (0, 1)])
    steps = steps[~np.isnan(steps)]
    return float(np.sqrt(np.mean(steps**2))) if len(steps) else 0.0


PLANE_TWINS = {
    "aspect_ratio": ratio_of_axes,
    "components": lambda x, inside: label(inside, connectivity=2).max(),
    "focus": steps_within,
    "saturated": lambda x, inside: (x[inside] >= LEVEL).mean(),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("statistic", list(TWINS))
@pytest.mark.parametrize("masked", [False, True])
def test_each_statistic(dtype: str, statistic: str, masked: bool) -> None:
    batch = ImageBatch.from_images(images(dtype))
    rng = np.random.default_rng(7)
    mask = rng.integers(0, 2, batch.pixels.size).astype(np.uint8)
    mask[batch.offsets[1] : batch.offsets[2]] = 0
    for channel in (0, 1):
        found = measure(statistic, batch, mask if masked else None, channel)
        assert found.dtype == np.float64
        for i, image in enumerate(batch):
            size = image[0].size
            start = batch.offsets[i] + channel * size
            inside = mask[start : start + size].astype(bool) if masked else np.ones(size, bool)
            x = image[channel].reshape(-1)[inside]
            if len(x) == 0:
                assert found[i] == 0 if statistic in ("area", "sum") else np.isnan(found[i])
                continue
            want = TWINS[statistic](x)
            scale = float(np.abs(x.astype(float)).max())
            exact = statistic in ("area", "min", "max") or (
                statistic == "sum" and batch.pixels.dtype.kind in "iu"
            )
            tolerance = 0 if exact else 1e-14 * scale * (len(x) if statistic == "sum" else 1)
            assert abs(found[i] - float(want)) <= tolerance, (i, channel)


def test_every_statistic_has_a_twin() -> None:
    assert sorted(STATISTICS) == sorted([*TWINS, *PLANE_TWINS])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("masked", [False, True])
def test_statistics_of_planes(dtype: str, masked: bool) -> None:
    batch = ImageBatch.from_images(images(dtype))
    rng = np.random.default_rng(7)
    mask = (rng.random(batch.pixels.size) < 0.6).astype(np.uint8)
    mask[batch.offsets[1] : batch.offsets[2]] = 0
    for channel in (0, 1):
        found = measure_all(batch, batch, mask if masked else None, channel, LEVEL)
        for i, image in enumerate(batch):
            h, w = image.shape[1:]
            start = batch.offsets[i] + channel * h * w
            inside = np.ones((h, w), bool)
            if masked:
                inside = mask[start : start + h * w].reshape(h, w).astype(bool)
            for name, twin in PLANE_TWINS.items():
                value = found[i, STATISTICS.index(name)]
                if not inside.any():
                    assert value == 0 if name == "components" else np.isnan(value)
                else:
                    want = twin(image[channel], inside)
                    assert value == pytest.approx(want, rel=1e-12, abs=1e-7), (i, name)


def test_several_statistics_at_once_are_each_by_itself() -> None:
    batch = ImageBatch.from_images(images("uint16"))
    raw = ImageBatch.from_images(images("uint16"))
    raw.pixels[:] = 65535
    mask = np.random.default_rng(3).integers(0, 2, batch.pixels.size).astype(np.uint8)
    chosen = [Statistic("mean", 1, 0), Statistic("area", 0, -1), Statistic("saturated", 1, 0)]
    found = measure_each(chosen, batch, raw, {0: mask}, np.full(2, 65535.0))
    assert found[:, 0].tobytes() == measure("mean", batch, mask, 1).tobytes()
    assert found[:, 1].tolist() == (batch.shapes[:, 1] * batch.shapes[:, 2]).tolist()
    # What is saturated shows in the pixels as they were read.
    assert set(found[~np.isnan(found[:, 2]), 2]) == {1.0}


def test_sums_of_integers_are_exact_where_floats_are_not() -> None:
    values = np.full((1, 300, 300), 2**30 + 1, np.int32)
    values[0, 0, 0] = -(2**31)
    batch = ImageBatch.from_images([values])
    assert measure("sum", batch, None, 0)[0] == values.sum(dtype=np.int64)


def test_no_objects() -> None:
    assert measure("sum", ImageBatch.from_images([]), None, 1).shape == (0,)


def test_real_cells_in_any_batch(shared_dir) -> None:
    cells = [tifffile.imread(f) for f in jurkat_files(shared_dir, 14)]
    whole = ImageBatch.from_images(cells)
    for i, cell in enumerate(cells):
        one = ImageBatch.from_images([cell])
        for statistic in STATISTICS:
            alone = measure(statistic, one, None, 1)
            assert alone.tobytes() == measure(statistic, whole, None, 1)[i : i + 1].tobytes()
        assert measure("std", one, None, 0)[0] == pytest.approx(cell[0].std(dtype=float))
