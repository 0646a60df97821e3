"""What must not change when cells are moved, turned, padded, made brighter or sorted, does not."""

from __future__ import annotations

import numpy as np
import pytest
from grey_twins import ANGLES
from hypothesis import given, settings
from hypothesis import strategies as st
from test_families import cells, masked_cells

from scip_mpi.batches import ImageBatch, Scratch
from scip_mpi.features import focus, gabor, gldm, glrlm, glszm, haralick, lbp, ngtdm
from scip_mpi.features.family import Family, whole_sets
from scip_mpi.features.shared import prepare

EVERY = ("mean", "range", *ANGLES)
FAMILIES = [
    haralick.select(mask="own", statistics=("merged", *EVERY), distances=[1, 2]),
    glrlm.select(mask="own", statistics=("merged", *EVERY)),
    glszm.select(mask="own"),
    ngtdm.select(mask="own"),
    gldm.select(mask="own"),
    lbp.select(mask="own"),
    focus.select(mask="own"),
    gabor.select(mask="own", statistics=EVERY, wavelengths=[3]),
]
# Where an angle comes to lie when the picture is turned by a quarter, or mirrored.
TURNED = {"0deg": "90deg", "45deg": "135deg", "90deg": "0deg", "135deg": "45deg"}
MIRRORED = {"45deg": "135deg", "135deg": "45deg"}
BY_NAME = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
Drawn = tuple[np.ndarray, np.ndarray]


def bits(columns: dict[str, np.ndarray]) -> dict[str, bytes]:
    return {name: v.tobytes() for name, v in columns.items()}


def renamed(columns: dict[str, np.ndarray], angles: dict[str, str]) -> dict[str, np.ndarray]:
    """The columns of each angle under the name of that where it came to lie."""
    found = {}
    for name, v in columns.items():
        words = [angles.get(word, word) for word in name.split("_")]
        found["_".join(words)] = v
    return found


def near(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], size: float) -> None:
    assert set(ours) == set(theirs)
    for name, v in ours.items():
        # A root, and a slope through logarithms, of what rounding leaves of 0.
        loose = "correlation_2" in name or "slope" in name
        np.testing.assert_allclose(
            v, theirs[name], rtol=1e-6 if loose else 1e-9, atol=1e-6 if loose else 1e-11 * size,
            err_msg=name,
        )  # fmt: skip


def size_of(image: np.ndarray) -> float:
    """What rounding is measured by: squared pixels, as gradients are."""
    return max(float(np.abs(image.astype(float)).max()) ** 2, 1.0)


@BY_NAME
@settings(max_examples=15, deadline=None)
@given(masked_cells(), st.integers(0, 9), st.integers(0, 9), st.integers(0, 99))
def test_where_a_cell_lies_and_what_surrounds_it_changes_no_bit(
    family: Family, drawn: Drawn, down: int, right: int, seed: int
) -> None:
    image, mask = drawn
    around = ((0, 0), (down, 3), (right, 2))
    rng = np.random.default_rng(seed)
    wide = np.pad(mask, around)
    padded = rng.integers(0, 99, wide.shape).astype(image.dtype)
    padded[:, down : down + image.shape[1], right : right + image.shape[2]] = image
    # Pixels outside of the mask have no say either.
    noise = rng.integers(0, 99, image.shape).astype(image.dtype)
    expected = bits(family.measure([image], [mask]))
    assert bits(family.measure([padded], [wide])) == expected
    assert bits(family.measure([np.where(mask, image, noise)], [mask])) == expected


@BY_NAME
@settings(max_examples=15, deadline=None)
@given(masked_cells())
def test_turned_and_mirrored_cells(family: Family, drawn: Drawn) -> None:
    image, mask = drawn
    ours = family.measure([image], [mask])
    turned = family.measure(
        [np.rot90(image, axes=(1, 2)).copy()], [np.rot90(mask, axes=(1, 2)).copy()]
    )
    near(renamed(ours, TURNED), turned, size_of(image))
    for axis in (1, 2):
        mirrored = family.measure([np.flip(image, axis).copy()], [np.flip(mask, axis).copy()])
        near(renamed(ours, MIRRORED), mirrored, size_of(image))


@BY_NAME
@settings(max_examples=15, deadline=None)
@given(masked_cells(), st.integers(1, 50), st.integers(0, 100))
def test_brighter_cells(family: Family, drawn: Drawn, times: int, more: int) -> None:
    image, mask = drawn[0].astype(np.float64).round(), drawn[1]
    ours = family.measure([image], [mask])
    brighter = family.measure([image * times + more], [mask])
    if family.name in ("focus", "gabor"):
        powers = {"gradient": 2, "laplacian": 2, "slope": 0}
        for name in ours:
            power = next((p for word, p in powers.items() if word in name), 1)
            ours[name] = ours[name] * float(times) ** power
        near(ours, brighter, size_of(image * times + more))
    else:
        assert bits(ours) == bits(brighter)


@BY_NAME
def test_the_order_and_company_of_cells_and_channels_changes_no_bit(family: Family) -> None:
    images, masks = cells("uint16", 5)
    order = np.random.default_rng(0).permutation(len(images))
    ours = family.measure(images, masks, ["A", "B"])
    moved = family.measure([images[k] for k in order], [masks[k] for k in order], ["A", "B"])
    for name, v in ours.items():
        assert v[order].tobytes() == moved[name].tobytes(), name
    swapped = family.measure([i[::-1] for i in images], [m[::-1] for m in masks], ["B", "A"])
    assert bits(swapped) == bits(ours)
    alone = [family.measure([i], [m], ["A", "B"]) for i, m in zip(images, masks, strict=True)]
    for name, v in ours.items():
        assert v.tobytes() == np.concatenate([a[name] for a in alone]).tobytes(), name


@BY_NAME
def test_selected_channels_are_some_of_all(family: Family) -> None:
    images, masks = cells("uint16", 6)
    assert family.select is not None
    every = family.select().measure(images, masks, ["A", "B"])
    one = family.select(channels=[1]).measure(images, masks, ["A", "B"])
    assert list(one) == [n for n in every if n.endswith("_B")]
    assert bits(one) == {n: v.tobytes() for n, v in every.items() if n in one}
    assert all(f.definition.endswith(".") and f.unit for f in family.features(["A", "B"]))


@BY_NAME
def test_objects_that_a_set_dropped_stay_empty(family: Family) -> None:
    images, masks = cells("uint16")
    batch = ImageBatch.from_images(images)
    sets = whole_sets(batch, ImageBatch.from_images(masks, dtype=np.uint8).pixels)
    sets.kept[1] = False
    sets.bbox[1] = -1
    scratch = Scratch()
    # Twice, so that it shows if buffers are expected to be empty.
    for _ in range(2):
        out = np.full((len(batch), len(family.features(["0", "1"]))), np.nan)
        family.compute(batch, sets, prepare(family.needs, batch), out, scratch)
        for buffer in scratch.buffers.values():
            buffer.fill(77)
    expected = family.measure(images, masks)
    assert np.isnan(out[1]).all()
    for j, v in enumerate(expected.values()):
        assert np.delete(out[:, j], 1).tobytes() == np.delete(v, 1).tobytes()


@BY_NAME
def test_no_cells_at_all(family: Family) -> None:
    found = family.measure([])
    assert all(len(v) == 0 for v in found.values())
