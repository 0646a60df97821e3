"""What all of CellProfiler's families have in common."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from odd_cells import few_cells, flipped, measured, padded, turned

from scip_mpi.batches import ImageBatch, Scratch
from scip_mpi.columns import plan_columns
from scip_mpi.errors import UserError
from scip_mpi.features import (
    colocalization,
    cp_intensity,
    cp_shape,
    granularity,
    intensity_moments,
    radial,
    zernike,
)
from scip_mpi.features.family import Family, whole_sets
from scip_mpi.features.shared import prepare
from scip_mpi.registry import find

MODULES = (
    cp_intensity, radial, zernike, colocalization, granularity, cp_shape, intensity_moments,
)  # fmt: skip
FAMILIES = [m.FAMILY for m in MODULES]
each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)


def alike(ours: dict[str, np.ndarray], other: dict[str, np.ndarray], but: tuple[str, ...]) -> None:
    """Every column that holds none of some words is the same."""
    compared = 0
    for name, column in ours.items():
        if not any(word in name for word in but):
            assert np.allclose(column, other[name], rtol=1e-7, atol=1e-9), name
            compared += 1
    assert compared


@each_family
def test_it_is_found_by_its_name(family: Family) -> None:
    assert find("features", family.name) is family


def test_a_config_names_channels_and_pairs() -> None:
    words = [
        {"radial": {"channels": ["C"], "bins": 2}},
        {"colocalization": {"pairs": [["C", "A"]], "measures": ["pearson"]}},
        "granularity",
    ]
    plan = plan_columns({"li": words}, ["li"], ["A", "B", "C"], partial(find, "features"))
    assert plan.names[:6] == [
        f"feat_li_radial_{name}_{k}of2_C" for name in ("fraction", "mean_fraction", "cv")
        for k in (1, 2)
    ]  # fmt: skip
    assert plan.names[6] == "feat_li_coloc_pearson_C_A"
    assert plan.names[7] == "feat_li_granularity_1_A"


@each_family
def test_all_of_it_and_a_selection_exclude_each_other(family: Family) -> None:
    # Neither is part of the other, and their columns have the same names.
    for items in (
        [family.name, {family.name: {"mask": "own"}}],
        [{family.name: {"mask": "own"}}] * 2,
    ):
        with pytest.raises(UserError, match=f"{family.name}' can be listed only once"):
            plan_columns({"li": items}, ["li"], ["A", "B"], partial(find, "features"))


@each_family
def test_one_name_per_column_and_a_definition(family: Family) -> None:
    for settings in ({}, {"mask": "own"}, {"channels": [2, 0]}):
        assert family.select is not None
        chosen = family.select(**settings)
        features = chosen.features(["A", "B", "C"])
        assert chosen.name == family.name
        assert len({f.name for f in features}) == len(features)
        assert all(f.definition.endswith(".") and f.unit for f in features)
        assert all(f.name.endswith(f"_{f.channel}") for f in features)
        if "channels" in settings:
            assert not any("B" in f.channel for f in features)


@each_family
def test_settings_that_make_no_sense_are_refused(family: Family) -> None:
    assert family.select is not None
    with pytest.raises(UserError, match="unknown mask"):
        family.select(mask="some")
    with pytest.raises(UserError, match="empty list"):
        family.select(channels=[])
    if family.name != "cp_shape":
        with pytest.raises(UserError, match="no channel 3: there are 2"):
            family.select(channels=[3]).features(["A", "B"])


@each_family
def test_cells_do_not_know_of_each_other(family: Family) -> None:
    images, masks = few_cells()
    together = measured(family, images, masks)
    backwards = measured(family, images[::-1], masks[::-1])
    alone = [measured(family, [i], [m]) for i, m in zip(images, masks, strict=True)]
    for name, column in together.items():
        assert column.tobytes() == backwards[name][::-1].copy().tobytes()
        assert column.tobytes() == np.concatenate([a[name] for a in alone]).tobytes()


@each_family
def test_some_channels_are_the_same_columns(family: Family) -> None:
    images, masks = few_cells()
    assert family.select is not None
    both = measured(family, images, masks)
    if family.name != "colocalization":
        one = family.select(channels=[1]).measure(images, masks, ["A", "B"])
        assert 0 < len(one) < len(both) or family.name == "cp_shape"
        assert all(column.tobytes() == both[name].tobytes() for name, column in one.items())


@each_family
def test_pixels_outside_the_mask_do_not_count(family: Family) -> None:
    images, masks = few_cells()
    masked = [np.where(m, i, 0).astype(i.dtype) for i, m in zip(images, masks, strict=True)]
    ours, other = measured(family, images, masks), measured(family, masked, masks)
    assert all(ours[name].tobytes() == other[name].tobytes() for name in ours)


@each_family
def test_own_masks_are_measured_in_each_channel(family: Family) -> None:
    images, masks = few_cells()
    first, second = masks, [np.roll(m, 2, axis=1) for m in masks]
    own = [np.stack(pair) for pair in zip(first, second, strict=True)]
    assert family.select is not None
    found = family.select(mask="own").measure(images, own, ["A", "B"])
    if family.name == "colocalization":
        either = [np.stack([m.any(axis=0)] * 2) for m in own]
        whole = family.measure(images, either, ["A", "B"])
    else:
        whole = family.select(mask="own").measure(
            images, [np.stack([m, m]) for m in first], ["A", "B"]
        )
        other = family.select(mask="own").measure(
            images, [np.stack([m, m]) for m in second], ["A", "B"]
        )
        whole = {n: (whole if n.endswith("_A") else other)[n] for n in found}
    assert all(found[name].tobytes() == whole[name].tobytes() for name in found)


@each_family
def test_without_a_mask_or_kept_nothing_is_known(family: Family) -> None:
    images, masks = few_cells(number=4)
    masks[1] = np.zeros_like(masks[1])
    batch = ImageBatch.from_images(images)
    own = ImageBatch.from_images([np.stack([m, m]) for m in masks], dtype=np.uint8).pixels
    sets = whole_sets(batch, own)
    sets.kept[2] = False
    out = np.full((4, len(family.features(["A", "B"]))), np.nan)
    family.compute(batch, sets, prepare(family.needs, batch), out, Scratch())
    assert np.isnan(out[1:3]).all()
    assert not np.isnan(out[[0, 3]]).all()


@each_family
@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_a_pixel_that_is_not_finite(family: Family, odd: float) -> None:
    rng = np.random.default_rng(0)
    image = rng.random((2, 9, 9)).astype(np.float32)
    clean = family.measure([image], None, ["A", "B"])
    image[0, 4, 4] = odd
    found = family.measure([image], None, ["A", "B"])
    if family.name not in ("cp_intensity", "cp_shape"):
        # `cp_intensity` leaves such pixels out, as CellProfiler does.
        assert np.isnan([c[0] for n, c in found.items() if "_A" in n]).all()
    assert all(c.tobytes() == clean[n].tobytes() for n, c in found.items() if "_A" not in n)


PLACES = ("center_mass", "_max_x", "_max_y")


@each_family
def test_shift_and_padding(family: Family) -> None:
    images, masks = few_cells()
    ours, other = measured(family, images, masks), measured(family, images, masks, padded)
    alike(ours, other, PLACES)
    for name in ours if family.name == "cp_intensity" else ():
        if name[:-2].endswith(("_x", "_y")):
            moved = 3 if name[:-2].endswith("_x") else 2
            assert np.allclose(other[name] - ours[name], moved)


# What a flip or a turn changes, by definition: places, wedges counted from one side, angles, and
# moments along rows and columns.
DIRECTED = (*PLACES, "radial_cv", "phase", "moments_central", "moments_normalized", "hu_6")


@each_family
@pytest.mark.parametrize("move", [flipped, turned])
def test_flip_and_turn(family: Family, move: object) -> None:
    images, masks = few_cells()
    ours, other = measured(family, images, masks), measured(family, images, masks, move)  # type: ignore[arg-type]
    alike(ours, other, DIRECTED)


def test_moments_change_places_and_signs_in_a_turn() -> None:
    images, masks = few_cells()
    family = intensity_moments.FAMILY
    ours = measured(family, images, masks)
    other, upside = (measured(family, images, masks, move) for move in (turned, flipped))
    for word in ("central", "normalized"):
        for p, q in intensity_moments.CENTRAL[1:]:
            name = f"moments_{word}_{{}}_{{}}_A"
            column = ours[name.format(p, q)]
            assert (column != 0).all()
            # What was a column counts as a row from the other end.
            assert np.allclose(other[name.format(q, p)], (-1) ** q * column, rtol=1e-6)
            assert np.allclose(upside[name.format(p, q)], (-1) ** p * column, rtol=1e-6)
    assert np.allclose(upside["moments_hu_6_A"], -ours["moments_hu_6_A"], rtol=1e-6)


# By which power of the intensities' scale a column changes; not at all unless said.
SCALED = {
    "cp_intensity": 1, "mass_displacement": 0, "center_mass": 0, "_max_x": 0, "_max_y": 0,
    "zernike_magnitude": 1, "moments_central": 1,
    "normalized_0_2": -1, "normalized_1_1": -1, "normalized_2_0": -1,
    "normalized_0_3": -1.5, "normalized_1_2": -1.5, "normalized_2_1": -1.5, "normalized_3_0": -1.5,
    "hu_0": -1, "hu_1": -2, "hu_2": -3, "hu_3": -3, "hu_4": -6, "hu_5": -4, "hu_6": -6,
}  # fmt: skip


@each_family
def test_intensities_scaled(family: Family) -> None:
    images, masks = few_cells()
    brighter = [(i * 4).astype(np.uint16) for i in images]
    ours, other = measured(family, images, masks), measured(family, brighter, masks)
    for name, column in ours.items():
        power = [p for word, p in SCALED.items() if word in name][-1:] or [0]
        assert np.allclose(other[name], column * 4.0 ** power[0], rtol=1e-7, atol=0), name
