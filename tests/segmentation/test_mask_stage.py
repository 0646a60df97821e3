"""The whole mask stage against SCIP's own masks, region counts and boxes; bits there and back."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_twins import planes_of, speckled, twelve_channel_images

from scip_mpi.batches import ImageBatch, from_buffer, to_buffer
from scip_mpi.batches import MaskBatch as MaskBatchType
from scip_mpi.loaders import zarr
from scip_mpi.segmentation.bits import interleave, pack_bits, unpack_bits, unpack_set
from scip_mpi.segmentation.border import remove_border_regions
from scip_mpi.segmentation.chain import MaskSet, Objects, PreFilter, mask_sets, whole_images
from scip_mpi.segmentation.combine import set_masks
from scip_mpi.segmentation.li import li
from scip_mpi.segmentation.otsu import otsu
from scip_mpi.segmentation.prefilters import normaltest, std, value_range
from scip_mpi.segmentation.spot import spot
from scip_mpi.segmentation.whole import whole

JURKAT = [
    MaskSet("li", li, {"smooth": [1, 0.5, 1]}),
    MaskSet("otsu", otsu, {}),
    MaskSet("spot", spot, {"spotsize": 3}),
]
HALF = [0, 0.5, 0.5, 0.5] * 3
TWELVE = [
    MaskSet("spot", spot, {"spotsize": 5}),
    MaskSet("li", li, {"smooth": HALF}),
    MaskSet("otsu", otsu, {}),
]
BOX = ["minr", "minc", "maxr", "maxc"]


@pytest.fixture(scope="module")
def jurkat(shared_dir) -> ImageBatch:
    catalog = zarr.discover([str(shared_dir / "reference/jurkat_scip/sample0_part1.zarr")])
    batch, failures = zarr.read(catalog.references(0, 60), [0, 1, 2], np.dtype(np.uint16))
    assert not failures
    assert len(batch) == 60
    return batch


@pytest.mark.parametrize("s", range(3), ids=["li", "otsu", "spot"])
def test_masks_and_region_counts_are_scips(jurkat: ImageBatch, shared_dir, s: int) -> None:
    scip = np.load(shared_dir / "reference/jurkat_scip/scip_masks.npz")
    chosen = JURKAT[s]
    masks = chosen.method(jurkat, np.ones((60, 3), bool), np, **chosen.kwargs)
    assert np.array_equal(np.stack(planes_of(jurkat, masks)), scip[f"{chosen.name}_raw"])
    regions = remove_border_regions(jurkat, masks)
    assert np.array_equal(regions, scip[f"{chosen.name}_regions"])
    # SCIP has no masks for objects it drops; all others must be its own.
    kept = regions[:, 0] > 0
    assert kept.sum() >= 59
    ours = np.stack(planes_of(jurkat, masks))
    assert np.array_equal(ours[kept], scip[chosen.name][kept])
    assert not scip[chosen.name][~kept].any()


def compare_meta(masks, sets, channels, table: pd.DataFrame) -> None:
    for s, chosen in enumerate(sets):
        regions = table[[f"meta_{chosen.name}_regions_{c}" for c in channels]].to_numpy()
        assert np.array_equal(masks.regions[:, s], regions)
        features = table.filter(regex=f"^feat_{chosen.name}_").to_numpy()
        dropped = np.isnan(features).all(axis=1)
        assert np.array_equal(masks.kept[:, s], ~dropped)
        if f"meta_{chosen.name}_bbox_minr" in table:
            boxes = table[[f"meta_{chosen.name}_bbox_{b}" for b in BOX]].to_numpy()
            # SCIP writes no box for what it dropped.
            assert np.isnan(boxes[dropped]).all()
            assert np.array_equal(masks.set_bbox[~dropped, s], boxes[~dropped])


def test_regions_boxes_and_drops_of_jurkat_cells_are_scips(jurkat: ImageBatch, shared_dir) -> None:
    table = pd.read_parquet(shared_dir / "reference/jurkat_scip/features.parquet")
    masks = mask_sets(jurkat, whole_images(jurkat), JURKAT, [], 0, np)
    compare_meta(masks, JURKAT, ["BF", "PI", "SSC"], table)
    # Cell 19: no bright-field mask left, others counted all the same.
    assert np.argwhere(~masks.kept).tolist() == [[19, 0]]
    assert masks.regions[19, 0].tolist() == [0, 1, 1]


def test_regions_and_boxes_of_twelve_channel_cells_are_scips(shared_dir) -> None:
    table = pd.read_parquet(shared_dir / "reference/twelve_channel_scip/features.parquet")
    images = twelve_channel_images(shared_dir)
    crops = ImageBatch.from_images([images[i] for i in table["meta_zarr_idx"]])
    assert len(crops) == 20
    every = PreFilter(normaltest, {"channel_indices": list(range(12))})
    masks = mask_sets(crops, whole_images(crops), TWELVE, [every], 0, np)
    compare_meta(masks, TWELVE, [f"C{c:02d}" for c in range(12)], table)


def three_channels() -> ImageBatch:
    """Cells well within their images, one flat in channel 0, one in channel 1."""
    images = []
    for k, (h, w) in enumerate([(40, 40), (33, 47), (50, 36), (41, 44)]):
        y, x = np.mgrid[:h, :w]
        distance = np.hypot(y - h / 2, x - w / 2)
        cell = 500 + 3000 / (1 + np.exp(distance - 7))
        noise = np.random.default_rng(k).normal(0, 20, (3, h, w))
        images.append((cell + noise).astype(np.uint16))
    images[1][0] = 100
    images[2][1] = 100
    return ImageBatch.from_images(images, index=[10, 20, 30, 40])


SETS = [MaskSet("li", li, {"smooth": 1}), MaskSet("all", whole, {}, border=False)]


def test_filters_empty_channels_and_drop_objects() -> None:
    crops = three_channels()
    filters = [
        PreFilter(std, {"channel_indices": [0, 1], "threshold": 1}),
        PreFilter(value_range, {"channel_indices": [2], "threshold": 1}),
    ]
    masks = mask_sets(crops, whole_images(crops), SETS, filters, 0, np)
    plain = mask_sets(crops, whole_images(crops), SETS, [], 0, np)
    assert masks.kept[:, 1].tolist() == [True, False, True, True]
    assert not masks.kept[1].any()
    enabled = np.ones((4, 3), bool)
    enabled[1, 0] = enabled[2, 1] = False
    assert np.array_equal(masks.regions, plain.regions * enabled[:, None, :])
    assert masks.regions[1, 0, 1:].min() > 0  # as counted, dropped or not
    for s in range(2):
        ours, full = (planes_of(crops, unpack_bits(m, s)) for m in (masks, plain))
        for i in range(4):
            assert np.array_equal(ours[i], full[i] & enabled[i][:, None, None])


def test_filters_combine_with_and() -> None:
    crops = three_channels()
    no_bright = PreFilter(std, {"channel_indices": [0], "threshold": 1e9})
    all_pass = PreFilter(std, {"channel_indices": [0], "threshold": -1})
    for filters in ([no_bright, all_pass], [all_pass, no_bright]):
        assert not mask_sets(crops, whole_images(crops), SETS, filters, 0, np).kept.any()


def test_another_main_channel_decides() -> None:
    crops = three_channels()
    kept = [mask_sets(crops, whole_images(crops), SETS[:1], [], c, np).kept for c in range(3)]
    assert not kept[0][1, 0]
    assert kept[1][1, 0]
    assert not kept[1][2, 0]
    assert kept[2].all()


def test_the_whole_image_is_one_region_with_its_box() -> None:
    crops = three_channels()
    objects = whole_images(crops)
    assert objects.image.tolist() == [10, 20, 30, 40]
    assert objects.label.tolist() == [1] * 4
    assert objects.bbox[1].tolist() == [0, 0, 33, 47]
    masks = mask_sets(crops, objects, SETS[1:], [], 0, np)
    assert masks.kept.all()
    assert (masks.regions == 1).all()
    assert np.array_equal(masks.set_bbox[:, 0], objects.bbox)
    assert unpack_bits(masks, 0).all()


def test_without_a_border_step_nothing_is_removed() -> None:
    crops = ImageBatch.from_images(speckled([(40, 40)] * 3, 2, seed=9))
    kept_border = MaskSet("spot", spot, {"spotsize": 3}, border=False)
    masks = mask_sets(crops, whole_images(crops), [kept_border], [], 0, np)
    raw = spot(crops, np.ones((3, 2), bool), np, spotsize=3)
    assert np.array_equal(unpack_bits(masks, 0), raw)


def test_objects_keep_their_image_label_and_box() -> None:
    crops = three_channels()
    table = Objects(np.array([5, 5, 6, 9]), np.array([3, 8, 1, 2]), np.arange(16).reshape(4, 4))
    masks = mask_sets(crops, table, SETS, [], 0, np)
    assert masks.image.tolist() == [5, 5, 6, 9]
    assert masks.label.tolist() == [3, 8, 1, 2]
    assert np.array_equal(masks.bbox, table.bbox)
    assert np.array_equal(masks.shapes, crops.shapes)


def test_a_stage_does_not_depend_on_the_batch() -> None:
    images = speckled([(40, 40), (33, 47), (20, 61)], 3, seed=11)
    every = PreFilter(normaltest, {"channel_indices": [0, 1, 2]})
    stage = partial(mask_sets, sets=JURKAT, prefilters=[every], main_channel=0, xp=np)
    crops = ImageBatch.from_images(images)
    together = stage(crops, whole_images(crops))
    for i, image in enumerate(images):
        one = ImageBatch.from_images([image], index=[i])
        alone = stage(one, whole_images(one))
        assert np.array_equal(to_buffer(alone), to_buffer(together.take(slice(i, i + 1))))


def test_no_objects() -> None:
    crops = ImageBatch.from_images([])
    masks = mask_sets(crops, whole_images(crops), JURKAT, [], 0, np)
    assert len(masks) == 0
    assert masks.sets == 3
    assert set_masks(masks, 1, [0]).own.size == 0


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), max_size=4),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 2**32),
)
def test_bits_are_numpys_and_come_back(shapes, channels: int, sets: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    crops = ImageBatch.from_images([np.zeros((channels, *s), np.uint8) for s in shapes])
    dense = [(rng.random(crops.pixels.size) < 0.5).astype(np.uint8) for _ in range(sets)]
    bits, offsets = pack_bits(dense, crops.shapes)
    # Sets that are packed already give the same.
    alone = [pack_bits([own], crops.shapes)[0] for own in dense]
    assert all(map(np.array_equal, interleave(alone, crops.shapes), (bits, offsets)))
    for own, packed in zip(dense, alone, strict=True):
        assert np.array_equal(unpack_set(packed, crops.shapes), own)
    expected = [
        np.packbits(planes_of(crops, d)[i].reshape(channels, -1), axis=1, bitorder="little")
        for i in range(len(crops))
        for d in dense
    ]
    assert bits.tobytes() == b"".join(e.tobytes() for e in expected)
    assert offsets[-1] == bits.size
    n = len(crops)
    masks = from_buffer(
        MaskBatchType,
        to_buffer(
            MaskBatchType(
                image=crops.index,
                label=crops.index,
                bbox=np.zeros((n, 4), np.int64),
                shapes=crops.shapes,
                kept=np.ones((n, sets), bool),
                regions=rng.integers(0, 9, (n, sets, channels)),
                set_bbox=rng.integers(0, 9, (n, sets, 4)),
                background=rng.random((n, sets, channels)),
                statistics=rng.random((n, 2)),
                in_field=rng.random((n, 2)),
                offsets=offsets,
                bits=bits,
            )
        ),
    )
    combined = [c for c in range(channels) if rng.random() < 0.6]
    for s in range(sets):
        unpacked = set_masks(masks, s, combined)
        assert np.array_equal(unpacked.own, dense[s])
        assert np.array_equal(unpacked.regions, masks.regions[:, s])
        assert np.array_equal(unpacked.bbox, masks.set_bbox[:, s])
        for i, own in enumerate(planes_of(crops, dense[s])):
            union = own[combined].any(axis=0).ravel()
            assert np.array_equal(unpacked.combined[crops.planes[i] : crops.planes[i + 1]], union)
