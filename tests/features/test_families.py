"""Every family against its twin, on images of every size, type and oddness."""

from __future__ import annotations

import numpy as np
import pytest
import twins
from hypothesis import given, settings
from hypothesis import strategies as st
from masks import masks
from scipy import ndimage

from scip_mpi.batches import ImageBatch, Scratch
from scip_mpi.features import intensity, raw, shape, texture
from scip_mpi.features.family import Family, whole_sets
from scip_mpi.features.shared import prepare

DTYPES = ["uint8", "uint16", "int16", "int32", "float32", "float64"]
FAMILIES = [shape.FAMILY, intensity.FAMILY, texture.FAMILY, raw.FAMILY]
ORIENTATION = 9


def cells(dtype: str, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Cell-like images of differing sizes with masks of one or more ragged components."""
    rng = np.random.default_rng(seed)
    images, masks = [], []
    for h, w in [(30, 41), (17, 9), (64, 64), (70, 20), (8, 90)]:
        planes = ndimage.gaussian_filter(rng.normal(size=(2, h, w)), (0, 2, 2))
        mask = planes > np.quantile(planes, 0.6, axis=(1, 2), keepdims=True)
        values = (planes - planes.min()) * 900 + rng.random((2, h, w)) * 20
        if dtype == "uint8":
            values = values / values.max() * 255
        if dtype[0] in "if":
            values = values - 300
        images.append(values.astype(dtype))
        masks.append(mask)
    # A mask that fills the image, an empty one, a single pixel, a line.
    odd = rng.integers(0, 99, (2, 12, 13))
    for draw in ("full", "empty", "pixel", "line", "ring"):
        mask = np.zeros((2, 12, 13), bool)
        if draw == "full":
            mask[:] = True
        elif draw == "pixel":
            mask[0, 3, 4] = mask[1, 0, 0] = True
        elif draw == "line":
            mask[0, 5, 2:11] = mask[1, :, 6] = True
        elif draw == "ring":
            mask[:, 2:10, 3:11] = True
            mask[:, 4:7, 5:8] = False
            mask[1, 5, 6] = True
        images.append(odd.astype(dtype))
        masks.append(mask)
    return images, masks


def table(family: Family, images: list[np.ndarray], masks: list[np.ndarray]) -> np.ndarray:
    return np.column_stack(list(family.measure(images, masks, combined=[0, 1]).values()))


def twin(family: Family, image: np.ndarray, mask: np.ndarray) -> list[float]:
    union = mask.any(axis=0)
    if family.name == "shape":
        return twins.shape(mask, union)
    if family.name == "raw":
        return twins.raw(image)
    return getattr(twins, family.name)(image, mask, union)


def same(ours: np.ndarray, theirs: np.ndarray, family: str) -> np.ndarray:
    """Whether values agree; scikit-image is no judge of orientation (tests/agreement is)."""
    # Sums of cancelling terms: moments about a centroid, differences of equal angles.
    tolerance = 1e-7 if family == "shape" else 1e-9
    equal = np.isclose(ours, theirs, rtol=1e-6, atol=tolerance, equal_nan=True)
    if family == "shape":
        equal[..., ORIENTATION :: shape.N_SHAPE] = True
    return equal


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_a_family_is_its_twin(family: Family, dtype: str) -> None:
    images, masks = cells(dtype)
    ours = table(family, images, masks)
    names = [f.name for f in family.features(["0", "1"])]
    for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
        theirs = np.array(twin(family, image, mask))
        wrong = ~same(ours[i], theirs, family.name)
        assert not wrong.any(), [(names[j], ours[i, j], theirs[j]) for j in np.nonzero(wrong)[0]]


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_the_company_of_a_batch_changes_no_bit(family: Family, dtype: str) -> None:
    images, masks = cells(dtype)
    together = table(family, images, masks)
    alone = np.concatenate([table(family, [i], [m]) for i, m in zip(images, masks, strict=True)])
    assert together.tobytes() == alone.tobytes()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_one_name_per_column_and_a_definition(family: Family) -> None:
    features = family.features(["A", "B", "C"])
    assert len({f.name for f in features}) == len(features)
    assert all(f.definition.endswith(".") and f.unit for f in features)
    assert {f.channel for f in features} <= {"A", "B", "C", "combined"}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_rows_of_objects_that_a_set_dropped_stay_empty(family: Family) -> None:
    images, masks = cells("uint16")
    batch = ImageBatch.from_images(images)
    chosen = whole_sets(batch, ImageBatch.from_images(masks, dtype=np.uint8).pixels)
    chosen.kept[2] = False
    out = np.full((len(batch), len(family.features(["0", "1"]))), np.nan)
    family.compute(batch, chosen, prepare(family.needs, batch), out, Scratch())
    assert np.isnan(out[2]).all() == family.masked
    assert not np.isnan(out[3]).all()


@st.composite
def odd_images(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Small images of any type with few distinct values, and any mask."""
    h, w = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    dtype = draw(st.sampled_from(DTYPES))
    top = min(int(np.finfo(dtype).max) if dtype[0] == "f" else int(np.iinfo(dtype).max), 65535)
    known = [0, 1, 2, 7, 100, top]
    if dtype[0] != "u":
        known += [-1, -100, -top]
    levels = draw(st.lists(st.sampled_from(known), min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    image = rng.choice(levels, (1, h, w)).astype(dtype)
    share = draw(st.sampled_from([0.0, 0.2, 0.6, 1.0]))
    return image, rng.random((1, h, w)) < share


@settings(max_examples=150, deadline=None)
@given(odd_images())
def test_odd_images_of_any_type(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    image, mask = drawn
    for family in FAMILIES:
        ours = np.column_stack(list(family.measure([image], [mask]).values()))[0]
        theirs = np.array(twin(family, image, mask))
        assert same(ours, theirs, family.name).all(), family.name


@st.composite
def masked_cells(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two channels of any type, smooth or noise or flat, each with a mask of any kind."""
    first = draw(masks(24, 70))
    second = draw(st.sampled_from([first, ~first, first[::-1], np.roll(first, 3, axis=1)]))
    dtype = draw(st.sampled_from(DTYPES))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    values = rng.integers(0, draw(st.sampled_from([1, 2, 40, 5000, 65536])), (2, *first.shape))
    if dtype == "uint8":
        values %= 256
    elif dtype[0] != "u":
        values = values // 2 - draw(st.sampled_from([0, 50, 30000]))
    scale = 0.37 if dtype[0] == "f" else 1
    return (values * scale).astype(dtype), np.stack([first, second])


@settings(max_examples=60, deadline=None)
@given(masked_cells())
def test_any_mask_on_any_pixels(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    image, mask = drawn
    for family in FAMILIES:
        ours = np.column_stack(list(family.measure([image], [mask]).values()))[0]
        theirs = np.array(twin(family, image, mask))
        equal = same(ours, theirs, family.name)
        names = [f.name for f in family.features(["0", "1"])]
        if family.name == "shape":
            # Odd moments of a symmetric mask are nothing but rounding in either.
            of_moments = np.array(["moments" in name for name in names])
            equal |= of_moments & (np.abs(ours - theirs) < 1e-12 * np.nanmax(np.abs(theirs)))
        assert equal.all(), [(names[j], ours[j], theirs[j]) for j in np.flatnonzero(~equal)]


def test_crops_wider_than_a_machine_word_and_taller_than_a_byte() -> None:
    rows, columns = np.mgrid[:300, :700]
    mask = np.hypot((rows - 150) / 140, (columns - 350) / 330) < 1
    image = (rows * 13 + columns * 7).astype(np.uint16)
    for family in FAMILIES:
        ours = np.column_stack(list(family.measure([image], [mask]).values()))[0]
        theirs = np.array(twin(family, image[np.newaxis], mask[np.newaxis]))
        equal = np.isclose(ours, theirs, rtol=1e-6, atol=1e-9, equal_nan=True)
        if family.name == "shape":
            # Odd moments of a symmetric mask: nothing but rounding in either.
            size = 1e-12 * np.nanmax(np.abs(theirs))
            equal |= np.abs(ours - theirs) < size
            equal[ORIENTATION :: shape.N_SHAPE] = True
        assert equal.all(), family.name
