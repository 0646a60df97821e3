"""Spots against scikit-image, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from masks import masks
from numpy.typing import NDArray
from skimage.measure import label, regionprops

from scip_mpi.batches import ImageBatch, Scratch
from scip_mpi.errors import UserError
from scip_mpi.features import spots
from scip_mpi.features.family import whole_sets
from scip_mpi.features.shared import prepare

Array = NDArray[np.generic]


def twin(image: Array, masks: Array, centre: tuple[float, float] | None) -> list[float]:
    """All columns of one cell, each channel in its own mask; from the centroid of all masks."""
    union = masks.any(axis=0)
    if centre is None and union.any():
        centre = tuple(np.argwhere(union).mean(axis=0))
    out: list[float] = []
    for plane, mask in zip(image.astype(float), masks, strict=True):
        parts = regionprops(label(mask, connectivity=2))
        level = plane[~mask].mean() if (~mask).any() else 0.0
        far = [np.hypot(*(np.array(p.centroid) - centre)) for p in parts]
        brightness = (plane[mask] - level).sum() if mask.any() else 0.0
        out += [len(parts), mask.sum(), brightness, np.mean(far) if far else np.nan]
    return out


@st.composite
def masked_cells(draw: st.DrawFn) -> tuple[Array, Array]:
    """Two channels, each with a mask of any kind."""
    first = draw(masks(24, 40))
    second = draw(st.sampled_from([first, ~first, first[::-1], np.zeros_like(first)]))
    dtype = draw(st.sampled_from(["uint16", "float32"]))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    values = rng.integers(0, draw(st.sampled_from([1, 2, 5000])), (2, *first.shape))
    if dtype[0] == "f":
        values -= draw(st.sampled_from([0, 30000]))
    return values.astype(dtype), np.stack([first, second])


@settings(max_examples=150)
@given(masked_cells())
def test_any_mask_on_any_pixels(drawn: tuple[Array, Array]) -> None:
    image, mask = drawn
    middle = tuple((n - 1) / 2 for n in mask.shape[1:])
    for family, centre in ((spots.FAMILY, None), (spots.select(centre="crop"), middle)):
        ours = np.array(list(family.measure([image], [mask]).values()))[:, 0]
        np.testing.assert_allclose(ours, twin(image, mask, centre), rtol=1e-6, atol=1e-5)


def cell() -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    image = rng.integers(50, 400, (3, 40, 33)).astype(np.uint16)
    return image, image > 380


def test_what_is_known_without_computing() -> None:
    image = np.full((1, 9, 12), 10, np.uint16)
    mask = np.zeros(image.shape, bool)
    # Two that touch over a corner are one; 3 and 5 columns from the middle of all.
    for y, x, value in [(4, 2, 20), (5, 3, 40), (4, 10, 70), (5, 11, 30)]:
        mask[0, y, x] = True
        image[0, y, x] = value
    found = {n: v[0] for n, v in spots.measure([image], [mask], ["DNA"]).items()}
    assert found == {
        "spots_count_DNA": 2, "spots_area_DNA": 4, "spots_brightness_DNA": 120,
        "spots_distance_DNA": 4,
    }  # fmt: skip


def test_turning_shifting_and_padding_change_nothing_and_light_the_brightness_alone() -> None:
    image, mask = cell()
    image[~mask] = 60
    ours = spots.measure([image], [mask])
    changed = [
        (image[:, ::-1], mask[:, ::-1]),
        (np.rot90(image, axes=(1, 2)), np.rot90(mask, axes=(1, 2))),
        (np.pad(image, ((0, 0), (3, 9), (8, 0)), constant_values=60),
         np.pad(mask, ((0, 0), (3, 9), (8, 0)))),
        (image + np.uint16(500), mask),
    ]  # fmt: skip
    for other, where in changed:
        for name, values in spots.measure([other.copy()], [where.copy()]).items():
            assert values[0] == pytest.approx(ours[name][0], rel=1e-9), name
    for name, values in spots.measure([image * np.uint16(3)], [mask]).items():
        factor = 3 if "brightness" in name else 1
        assert values[0] == pytest.approx(factor * ours[name][0], rel=1e-12)


def test_channels_masks_and_company() -> None:
    image, mask = cell()
    other = (image[:, :20] // 2, mask[:, :20])
    names = ["A", "B", "C"]
    every = spots.measure([image, other[0]], [mask, other[1]], names)
    alone = spots.measure([image], [mask], names)
    assert all(every[n][:1].tobytes() == alone[n].tobytes() for n in every)
    some = spots.select(statistics=["count", "distance"], channels=[2])
    found = some.measure([image], [mask], names)
    assert list(found) == ["spots_count_C", "spots_distance_C"]
    assert all(found[n].tobytes() == alone[n].tobytes() for n in found)
    union = np.broadcast_to(mask.any(axis=0), mask.shape)
    combined = spots.select(mask="combined").measure([image], [mask], names)
    assert combined == spots.measure([image], [union], names)
    assert combined["spots_count_A"] == combined["spots_count_B"]
    with pytest.raises(UserError, match="unknown centre"):
        spots.select(centre="middle")


def test_dropped_rows_stay_empty_and_the_background_of_the_config_counts() -> None:
    image, mask = cell()
    batch = ImageBatch.from_images([image, image])
    chosen = whole_sets(batch, ImageBatch.from_images([mask, mask], dtype=np.uint8).pixels)
    chosen.kept[0] = False
    chosen.background[:] = 100.0
    out = np.full((2, 12), np.nan)
    spots.FAMILY.compute(batch, chosen, prepare((), batch), out, Scratch())
    assert np.isnan(out[0]).all()
    expected = [(plane[m].astype(float) - 100).sum() for plane, m in zip(image, mask, strict=True)]
    assert out[1, 2::4].tolist() == pytest.approx(expected)
