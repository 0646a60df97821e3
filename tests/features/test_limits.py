"""What families must do at their limits: odd values, thin crops, and inputs left as they were."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from scip_mpi.batches import ImageBatch, Scratch
from scip_mpi.features import intensity, raw, shape, texture
from scip_mpi.features.family import Family, whole_sets
from scip_mpi.features.shared import prepare

DTYPES = ["uint8", "int8", "uint16", "int16", "int32", "uint32", "float32", "float64"]
FAMILIES = [shape.FAMILY, intensity.FAMILY, texture.FAMILY, raw.FAMILY]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_order_is_numpys_stable_one(dtype: str) -> None:
    rng = np.random.default_rng(3)
    images = []
    for h, w in [(1, 1), (1, 40), (33, 70), (260, 300)]:
        # Many ties; every image holds both ends of the type, and both zeros.
        values = np.round(rng.normal(size=(2, h, w)) * 20)
        if dtype[0] == "u":
            values = np.abs(values)
        plane = values.astype(dtype)
        if dtype[0] != "f":
            plane[:, 0, 0] = np.iinfo(dtype).max
            plane[:, -1, -1] = np.iinfo(dtype).min
        else:
            odd = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, -np.nan, 3e38, 1e-40, -1e-40])
            plane.reshape(-1)[: odd.size] = odd[: plane.size].astype(dtype)
        images.append(plane)
    batch = ImageBatch.from_images(images)
    order = prepare({"sorted"}, batch).order
    assert order.dtype == np.int32
    for i, image in enumerate(batch):
        for c, plane in enumerate(image):
            at = batch.offsets[i] + c * plane.size
            expected = np.argsort(plane.reshape(-1), kind="stable")
            assert np.array_equal(order[at : at + plane.size], expected)


def test_nothing_is_sorted_that_nobody_needs() -> None:
    batch = ImageBatch.from_images([np.ones((1, 3, 3), np.uint16)])
    assert prepare(frozenset(), batch).order.size == 0
    assert prepare({"sorted"}, ImageBatch.from_images([], dtype=np.uint16)).order.size == 0


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
@pytest.mark.parametrize("base", [1.0, 1000.1, 1e6, -3.3, 1e-200])
def test_pixels_equal_but_for_rounding_have_no_skewness(base: float, steps: int) -> None:
    image = np.full((1, 5, 5), base)
    for _ in range(steps):
        image[0, 0, 0] = np.nextafter(image[0, 0, 0], np.inf)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isnan([stats.skew(image.ravel()), stats.kurtosis(image.ravel())]).all()
    for found in (raw.measure([image]), intensity.measure([image])):
        assert np.isnan([found["skewness_0"][0], found["kurtosis_0"][0]]).all()


def test_a_spread_that_is_small_but_real_has_a_skewness() -> None:
    image = np.full((1, 5, 5), 60000, np.uint16)
    image[0, 0, 0] = 60001
    found = raw.measure([image])
    # One value of 25 apart from the others: (n - 2) / sqrt(n - 1).
    assert found["skewness_0"][0] == pytest.approx(23 / np.sqrt(24), rel=1e-9)


def odd_pixels(dtype: str) -> list[NDArray[np.floating]]:
    rng = np.random.default_rng(8)
    images = []
    for share in (0.1, 0.5, 1.0):
        image = rng.normal(size=(2, 11, 14))
        odd = rng.choice([np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0], size=image.shape)
        images.append(np.where(rng.random(image.shape) < share, odd, image).astype(dtype))
    images += [np.full((2, 4, 5), bad, dtype) for bad in (np.nan, np.inf, -np.inf)]
    return images


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_pixels_that_are_no_numbers_harm_no_other_object(family: Family, dtype: str) -> None:
    rng = np.random.default_rng(1)
    good = rng.normal(size=(2, 12, 9)).astype(dtype)
    mask = rng.random((2, 12, 9)) < 0.7
    alone = np.array(list(family.measure([good], [mask]).values()))[:, 0]
    images, masks = [], []
    for odd in odd_pixels(dtype):
        images += [good, odd]
        masks += [mask, rng.random(odd.shape) < 0.8]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        together = np.array(list(family.measure(images, masks).values()))
    for i in range(0, len(images), 2):
        assert together[:, i].tobytes() == alone.tobytes()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_inputs_are_left_as_they_were(family: Family) -> None:
    rng = np.random.default_rng(2)
    images = [rng.integers(0, 900, (2, h, 13)).astype(np.uint16) for h in (7, 20)]
    batch = ImageBatch.from_images(images)
    own = (rng.random(batch.pixels.size) < 0.6).astype(np.uint8)
    masks = whole_sets(batch, own)
    shared = prepare(family.needs, batch)
    inputs = [batch.pixels, batch.offsets, batch.shapes, batch.planes, shared.order]
    inputs += [masks.own, masks.combined, masks.regions, masks.bbox, masks.kept]
    before = [a.tobytes() for a in inputs]
    out = np.full((2, len(family.features(["0", "1"]))), np.nan)
    family.compute(batch, masks, shared, out, Scratch())
    assert [a.tobytes() for a in inputs] == before
    assert not np.isnan(out).all()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_what_a_scratch_last_held_changes_no_bit(family: Family) -> None:
    rng = np.random.default_rng(4)
    batch = ImageBatch.from_images([rng.integers(0, 900, (1, 15, 16)).astype(np.uint16)])
    masks = whole_sets(batch, (rng.random(batch.pixels.size) < 0.8).astype(np.uint8))
    shared = prepare(family.needs, batch)
    scratch = Scratch()
    tables = []
    for fill in (0, 255):
        for held in scratch.buffers.values():
            held.view(np.uint8)[:] = fill
        out = np.full((1, len(family.features(["0"]))), np.nan)
        family.compute(batch, masks, shared, out, scratch)
        tables.append(out.tobytes())
    assert tables[0] == tables[1]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_scratch_grows_with_the_largest_crop_not_with_its_sides(family: Family) -> None:
    images = [np.ones((1, 1, 3000), np.uint16), np.ones((1, 3000, 1), np.uint16)]
    batch = ImageBatch.from_images(images)
    masks = whole_sets(batch, np.ones(batch.pixels.size, np.uint8))
    scratch = Scratch()
    out = np.full((2, len(family.features(["0"]))), np.nan)
    family.compute(batch, masks, prepare(family.needs, batch), out, scratch)
    assert sum(held.size for held in scratch.buffers.values()) <= 20 * 3000
