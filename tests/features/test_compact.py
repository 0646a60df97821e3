"""The preset compact: how many columns, and that no two say nearly the same."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr

from scip_mpi import registry, simulation
from scip_mpi.batches import ImageBatch, Scratch
from scip_mpi.columns import plan_columns, selected
from scip_mpi.features import compact
from scip_mpi.features.shared import prepare
from scip_mpi.segmentation.chain import MaskSet, mask_sets, whole_images
from scip_mpi.segmentation.combine import set_masks
from scip_mpi.segmentation.li import li

CELLS = 400
NAMES = list(simulation.CHANNELS)


def find(name: str):  # type: ignore[no-untyped-def]
    return registry.find("features", name)


def test_about_300_columns_for_twelve_channels_all_in_the_docstring() -> None:
    made = plan_columns({"li": ["compact"]}, ["li"], NAMES, find)
    assert 250 <= len(made) <= 350
    assert f"{len(made)} for 12 channels" in str(compact.__doc__)
    for channel, ending in (("combined", "_combined"), ("CD3", "_CD3")):
        mine = [f.name for f in made.features if f.channel == channel]
        listed = {n.removesuffix(ending) for n in mine}
        assert all(f"``{name}``" in str(compact.__doc__) for name in listed)


def test_channels_can_be_chosen() -> None:
    made = plan_columns({"li": [{"compact": {"channels": ["CD3", 0]}}]}, ["li"], NAMES, find)
    assert {f.channel for f in made.features} == {"combined", "BF1", "CD3"}


def test_no_two_columns_of_a_channel_rank_cells_alike() -> None:
    images = [simulation.cell(99, i)[0] for i in range(CELLS)]
    batch = ImageBatch.from_images(images)
    chosen = MaskSet("li", li, {"smooth": [0.5] * len(NAMES)})
    masks = mask_sets(batch, whole_images(batch), [chosen], [], 0, np)
    own = set_masks(masks, 0, [NAMES.index(c) for c in ("BF1", "SSC", "BF2")])
    made = plan_columns({"li": ["compact"]}, ["li"], NAMES, find)
    columns: dict[str, list[np.ndarray]] = {}
    for block in made.blocks:
        family = selected(find(block.family), block.settings)
        out = np.full((CELLS, block.stop - block.start), np.nan)
        family.compute(batch, own, prepare(family.needs, batch), out, Scratch())
        for feature, values in zip(family.features(NAMES), out.T, strict=True):
            columns.setdefault(feature.channel, []).append(values)
    assert set(columns) == {*NAMES, "combined"}
    for channel, values in columns.items():
        table = np.column_stack(values)
        table = table[np.isfinite(table).all(axis=1)]
        # Some markers are on few kinds of cells, hence masks on few cells.
        assert len(table) > 150, channel
        rho = np.abs(spearmanr(table).statistic) - np.eye(table.shape[1])
        assert np.nanmax(rho) <= 0.97, (channel, np.argwhere(rho > 0.97))
        # A column that is the same for all cells has no rank, and would pass unseen.
        assert np.ptp(table, axis=0).all(), channel
