"""Every column of SCIP's two reference tables, by rule 13."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from reference import Compared, compare, twelve_channel_images, write_zarr
from rule13 import Mask, isotropic, terms

from scip_mpi.segmentation.combine import set_masks

SETS = ["li", "otsu", "spot"]


@pytest.fixture(scope="module", params=["jurkat", "twelve_channel"])
def compared(
    request: pytest.FixtureRequest, shared_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Compared:
    folder = shared_dir / "reference" / f"{request.param}_scip"
    zarr = folder / "sample0_part1.zarr"
    if request.param == "twelve_channel":
        zarr = tmp_path_factory.mktemp("zarr") / "sample0_part0.zarr"
        write_zarr(zarr, twelve_channel_images(shared_dir / "reference"))
    return compare(folder / "scip.yml", zarr, folder / "features.parquet")


def mask_of(compared: Compared, row: int, column: str) -> Mask:
    """The mask that a column of a row was computed on."""
    plan = compared.plan
    _, name, *_, last = column.split("_")
    chosen = compared.masks.take(np.array([row]))
    masks = set_masks(chosen, plan.sets.index(name), plan.combined)
    _, h, w = chosen.shapes[0]
    if last == "combined":
        return masks.combined.reshape(h, w)
    return masks.own.reshape(-1, h, w)[plan.channel_names.index(last)]


def test_the_columns_are_scips_in_scips_order(compared: Compared) -> None:
    features = [c for c in compared.scip.columns if c.startswith("feat_")]
    assert compared.plan.columns.names == features


def test_what_is_undefined_there_is_undefined_here(compared: Compared) -> None:
    scip = compared.scip[compared.plan.columns.names].to_numpy()
    assert np.array_equal(np.isnan(compared.ours), np.isnan(scip))
    # Both sets hold objects that a mask set dropped.
    assert np.isnan(scip).any()
    assert not np.isnan(scip).all(axis=1).any()


def test_every_value_agrees_by_rule_13(compared: Compared) -> None:
    names = compared.plan.columns.names
    scip = compared.scip[names].to_numpy()
    ours = compared.ours
    defined = ~np.isnan(scip)
    doubtful = defined & ~(np.abs(ours - scip) <= 1e-6 * np.abs(scip))
    # Most of them: first central moments, exactly 0 here and nearly so there.
    assert doubtful.sum() < 0.015 * scip.size
    wrong = []
    exceptions = 0
    for i, j in zip(*np.nonzero(doubtful), strict=True):
        column = names[j]
        mask = mask_of(compared, i, column)
        if "_orientation_" in column:
            exceptions += 1
            if not isotropic(mask):
                wrong.append((column, i, ours[i, j], scip[i, j]))
            continue
        size = terms(column, compared.scip.iloc[i], mask)
        if abs(ours[i, j] - scip[i, j]) > 1e-6 * abs(scip[i, j]) + 1e-12 * size:
            wrong.append((column, i, ours[i, j], scip[i, j], size))
    assert not wrong
    assert exceptions <= 8


def test_regions_and_bounding_boxes_agree(compared: Compared) -> None:
    plan, scip, masks = compared.plan, compared.scip, compared.masks
    for s, name in enumerate(plan.sets):
        for c, channel in enumerate(plan.channel_names):
            regions = scip[f"meta_{name}_regions_{channel}"].to_numpy()
            known = ~np.isnan(regions.astype(float))
            assert np.array_equal(masks.regions[known, s, c], regions[known])
        for k, side in enumerate(("minr", "minc", "maxr", "maxc")):
            column = f"meta_{name}_bbox_{side}"
            if column in scip:
                box = scip[column].to_numpy().astype(float)
                known = ~np.isnan(box) & masks.kept[:, s]
                assert known.any()
                assert np.array_equal(masks.set_bbox[known, s, k], box[known])


def test_the_jurkat_masks_are_scips_pixel_for_pixel(shared_dir: Path) -> None:
    folder = shared_dir / "reference" / "jurkat_scip"
    compared = compare(
        folder / "scip.yml", folder / "sample0_part1.zarr", folder / "features.parquet"
    )
    saved = np.load(folder / "scip_masks.npz")
    for s, name in enumerate(SETS):
        masks = set_masks(compared.masks, s, compared.plan.combined)
        own = masks.own.reshape(60, 3, 40, 40).astype(bool)
        # SCIP forgets the masks of an object that it drops; we only leave its columns empty.
        kept = compared.masks.kept[:, s]
        assert kept.sum() >= 59
        assert np.array_equal(own[kept], saved[name][kept])
        assert np.array_equal(compared.masks.regions[:, s], saved[f"{name}_regions"])
