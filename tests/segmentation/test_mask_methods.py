"""li, otsu and spot equal scikit-image's chains pixel for pixel, on any image, in any batch."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from types import ModuleType

import numpy as np
import pytest
import tifffile
from cells import jurkat_files
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_twins import (
    DTYPES,
    as_type,
    everything,
    planes_of,
    same_as_twin,
    speckled,
    twelve_channel_images,
    twin_li,
    twin_otsu,
    twin_spot,
)
from skimage.filters import threshold_li

from scip_mpi.batches import ImageBatch
from scip_mpi.errors import UserError
from scip_mpi.segmentation.li import li
from scip_mpi.segmentation.li_threshold import _exactly, li_threshold
from scip_mpi.segmentation.order import select, select_unsigned
from scip_mpi.segmentation.otsu import otsu
from scip_mpi.segmentation.pairwise import pairwise_sum
from scip_mpi.segmentation.spot import spot
from scip_mpi.segmentation.whole import whole
from scip_mpi.simulation import cell

METHODS = {
    "li-0": (partial(li, smooth=0), partial(twin_li, sigma=0)),
    "li-0.5": (partial(li, smooth=0.5), partial(twin_li, sigma=0.5)),
    "li-1.7": (partial(li, smooth=1.7), partial(twin_li, sigma=1.7)),
    "otsu": (otsu, twin_otsu),
    "spot-1": (partial(spot, spotsize=1), partial(twin_spot, radius=1)),
    "spot-5": (partial(spot, spotsize=5), partial(twin_spot, radius=5)),
    "spot-8": (partial(spot, spotsize=8), partial(twin_spot, radius=8)),
}
SHAPES = [(40, 40), (31, 52), (64, 20), (9, 70), (26, 26), (5, 7)]
methods = pytest.mark.parametrize("name", METHODS)


def check(name: str, images: list[np.ndarray]) -> int:
    return same_as_twin(*METHODS[name], images)


@methods
def test_ragged_images(name: str) -> None:
    assert check(name, speckled(SHAPES * 3, 3)) > 100


@methods
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_of_pixel(name: str, dtype: str) -> None:
    assert check(name, [as_type(a, dtype) for a in speckled(SHAPES, 3, seed=1)]) > 20


@methods
def test_simulated_cells(name: str) -> None:
    assert check(name, [cell(5, k)[0] for k in range(6)]) > 1000


@methods
def test_real_cells(name: str, shared_dir) -> None:
    images = [tifffile.imread(f) for f in jurkat_files(shared_dir, 100)]
    assert len(images) == 100
    assert check(name, images) > 1000


@methods
def test_real_twelve_channel_cells(name: str, shared_dir) -> None:
    assert check(name, twelve_channel_images(shared_dir)) > 1000


FLAT = [0, 1, 255, 512, 513, 65535]


@methods
def test_flat_and_tiny_images(name: str) -> None:
    shapes = [(1, 1), (1, 9), (13, 1), (2, 2), (2, 4), (30, 30)]
    assert check(name, [np.full((1, *s), v, np.uint16) for s in shapes for v in FLAT]) == 0


@methods
def test_two_levels_and_extremes(name: str) -> None:
    rng = np.random.default_rng(3)
    images = []
    for low, high in [(0, 65535), (0, 1), (512, 513), (65534, 65535), (0, 512)]:
        image = np.full((2, 30, 34), low, np.uint16)
        image[0, 8:20, 9:22] = high
        image[1][rng.random((30, 34)) < 0.1] = high
        images.append(image)
    check(name, images)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 14), st.integers(1, 14)), min_size=1, max_size=3),
    st.sampled_from(DTYPES),
    st.integers(1, 400),
    st.integers(0, 2**32),
    st.sampled_from(sorted(METHODS)),
)
def test_odd_shapes_of_few_levels(shapes, dtype, levels, seed, name) -> None:
    rng = np.random.default_rng(seed)
    check(name, [rng.integers(0, levels, (2, h, w)).astype(dtype) for h, w in shapes])


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 45), st.integers(1, 45)),
    st.sampled_from(["u2", "i2", "f4", "f8"]),
    st.lists(st.tuples(*[st.integers(-5, 45)] * 2, st.integers(0, 15), st.booleans()), max_size=5),
    st.sampled_from([0, 0.2, 30]),
    st.integers(0, 2**32),
    st.sampled_from(sorted(METHODS)),
)
def test_several_objects_with_holes_and_on_the_border(
    shape, dtype, discs, noise, seed, name
) -> None:
    # Of the type's whole range; floating point below and above 0.
    low, high = (-700.25, 900.5) if dtype[0] == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    image = np.random.default_rng(seed).normal(0, 1, shape) * noise + low
    y, x = np.indices(shape)
    for cy, cx, radius, hole in discs:
        away = np.hypot(y - cy, x - cx)
        image[(away <= radius) & (away >= radius / 2 * hole)] = high
    check(name, [image.clip(low, high).astype(dtype)[np.newaxis]])


@methods
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_values_that_are_not_finite_do_no_harm(name: str, dtype: str) -> None:
    method, _ = METHODS[name]
    images = [a.astype(dtype) for a in speckled([(30, 30)] * 5, 1)]
    images[0][:] = np.nan
    images[1][0, 3, 4] = np.nan
    images[2][0, 3, 4] = np.inf
    images[3][:] = -np.inf
    batch = ImageBatch.from_images(images)
    masks = planes_of(batch, method(batch, everything(batch), np))
    alone = ImageBatch.from_images(images[4:])
    assert np.array_equal(masks[4].ravel(), method(alone, everything(alone), np))
    assert not masks[0].any()


@methods
def test_images_know_nothing_of_each_other(name: str) -> None:
    method, _ = METHODS[name]
    images = speckled(SHAPES, 2, seed=4)
    batch = ImageBatch.from_images(images)
    together = method(batch, everything(batch), np)
    apart = [
        method(b, everything(b), np) for b in (ImageBatch.from_images([image]) for image in images)
    ]
    assert together.tobytes() == b"".join(a.tobytes() for a in apart)


@methods
def test_channels_that_failed_stay_empty_and_change_no_other(name: str) -> None:
    method, _ = METHODS[name]
    batch = ImageBatch.from_images(speckled(SHAPES, 3, seed=5))
    full = planes_of(batch, method(batch, everything(batch), np))
    enabled = np.random.default_rng(0).random((len(batch), 3)) < 0.5
    some = planes_of(batch, method(batch, enabled, np))
    for i in range(len(batch)):
        assert np.array_equal(some[i], full[i] & enabled[i][:, None, None])


@methods
def test_no_images(name: str) -> None:
    batch = ImageBatch.from_images([])
    assert METHODS[name][0](batch, everything(batch), np).shape == (0,)


def test_everything_is_mask_where_there_is_no_method() -> None:
    batch = ImageBatch.from_images(speckled([(3, 4), (1, 2)], 2))
    assert whole(batch, everything(batch), np).tolist() == [1] * 28
    enabled = np.array([[True, False], [False, True]])
    assert whole(batch, enabled, np).tolist() == [1] * 12 + [0] * 12 + [0] * 2 + [1] * 2


def test_one_sigma_for_each_channel() -> None:
    batch = ImageBatch.from_images(speckled(SHAPES, 3, seed=6))
    sigmas = [0, 0.5, 2]
    masks = planes_of(batch, li(batch, everything(batch), np, smooth=sigmas))
    for ours, image in zip(masks, batch, strict=True):
        for c, sigma in enumerate(sigmas):
            assert np.array_equal(ours[c], twin_li(image[c], sigma))


@pytest.mark.parametrize(
    ("smooth", "message"),
    [
        ([1, 2], r"kwargs\.smooth has 2 values, the images have 3 channels"),
        ([1, -1, 0], r"kwargs\.smooth must be from 0 to 250 pixels, not -1"),
        (float("nan"), r"kwargs\.smooth must be from 0 to 250 pixels, not nan"),
        (250.5, r"kwargs\.smooth must be from 0 to 250 pixels, not 250.5"),
        (float("inf"), r"kwargs\.smooth must be from 0 to 250 pixels, not inf"),
    ],
)
def test_a_bad_sigma_is_named(smooth, message: str) -> None:
    batch = ImageBatch.from_images(speckled([(9, 9)], 3))
    with pytest.raises(UserError, match=message):
        li(batch, everything(batch), np, smooth=smooth)


@pytest.mark.parametrize("spotsize", [0, -3, 2.5, 251, float("inf"), float("nan")])
def test_a_bad_spot_size_is_named(spotsize) -> None:
    batch = ImageBatch.from_images(speckled([(9, 9)], 1))
    with pytest.raises(UserError, match=r"kwargs\.spotsize"):
        spot(batch, everything(batch), np, spotsize=spotsize)


@pytest.mark.parametrize("name", ["li-0", "otsu", "spot-1"])
def test_other_array_modules_are_refused(name: str) -> None:
    batch = ImageBatch.from_images(speckled([(9, 9)], 1))
    with pytest.raises(UserError, match="CPUs only, not with cupy"):
        METHODS[name][0](batch, everything(batch), ModuleType("cupy"))


def reflect(i: int, n: int) -> int:
    i %= 2 * n
    return min(i, 2 * n - 1 - i)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**32))
def test_discs_larger_than_the_image_by_definition(h: int, w: int, r: int, seed: int) -> None:
    plane = np.random.default_rng(seed).integers(0, 9, (h, w))
    inside = [(a, b) for a in range(-r, r + 1) for b in range(-r, r + 1) if a * a + b * b <= r * r]

    def over_disc(x: np.ndarray, extreme) -> np.ndarray:
        near = [[[x[reflect(i + a, h), reflect(j + b, w)] for a, b in inside] for j in range(w)]
                for i in range(h)]  # fmt: skip
        return extreme(near, axis=2)

    left = plane - over_disc(over_disc(plane, np.min), np.max)
    batch = ImageBatch.from_images([plane.astype(np.uint16)])
    masks = spot(batch, everything(batch), np, spotsize=r)
    assert np.array_equal(masks.reshape(h, w), left > np.quantile(left, 0.99))


@settings(max_examples=300, deadline=None)
@given(st.integers(2, 300), st.integers(2, 40), st.integers(-4, 4), st.integers(0, 2**32))
def test_lis_threshold_splits_pixels_as_scikit_image_does(n, levels, power, seed) -> None:
    rng = np.random.default_rng(seed)
    # Unequal gaps, of which the smallest ends the iteration.
    values = np.sort(rng.random(levels) ** 3) * 10.0**power
    plane = values[rng.integers(0, levels, (1, n))]
    ours = li_threshold(plane, 1, n, np.empty((3, n)))
    assert np.array_equal(plane > ours, plane > threshold_li(plane))


@pytest.mark.parametrize(
    "counts",
    [
        [27, 1, 20, 15, 21],
        [28, 1, 5, 17, 24, 26, 23, 26],
        [26, 4, 20, 29, 5, 10],
        [5, 7, 3, 8, 25, 29, 18],
    ],
)
def test_lis_threshold_stops_at_a_step_of_half_the_smallest_gap(counts: list[int]) -> None:
    # Counts of the levels 0, 1, 2, ... for which going on would end at another threshold.
    plane = np.repeat(np.arange(len(counts), dtype=float), counts)[np.newaxis]
    ours = li_threshold(plane, 1, plane.size, np.empty((3, plane.size)))
    assert np.array_equal(plane > ours, plane > threshold_li(plane))


@settings(max_examples=100, deadline=None)
@given(
    st.integers(2, 3000),
    st.sampled_from([1e-300, 1e-6, 1.0, 1e12]),
    st.sampled_from([0.0, -1.0, 1e6, -1e15]),
    st.floats(0.3, 9),
    st.integers(0, 2**32),
)
def test_lis_threshold_by_sums_in_any_order_parts_as_by_numpys(n, scale, shift, power, seed):
    values = shift + scale * np.random.default_rng(seed).random(n) ** power
    shifted = values - values.min()
    if not shifted.any():
        return
    work = np.empty((3, n))
    ours = li_threshold(values[np.newaxis], 1, n, work)
    unequal = np.unique(shifted)
    exact = _exactly(shifted, n, np.diff(unequal).min(), work[1], work[2])
    assert np.array_equal(values > ours, values > exact + values.min())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_lis_threshold_of_sums_that_overflow_in_one_order_only() -> None:
    rng = np.random.default_rng(2)
    most = np.finfo(float).max
    overflows = 0
    for _ in range(300):
        n = rng.integers(200, 2000)
        values = rng.random(n) ** 4
        values[0] = 0
        # About as large as numbers get, by a few roundings more or less.
        values *= most / values.sum() * (1 + rng.integers(-9, 9) * 2.0**-53)
        plane = values[np.newaxis]
        theirs = threshold_li(plane)
        overflows += np.isnan(theirs)
        ours = li_threshold(plane, 1, n, np.empty((3, n)))
        assert np.array_equal(plane > ours, plane > theirs)
    assert 50 < overflows < 250


def test_lis_threshold_of_few_even_levels() -> None:
    rng = np.random.default_rng(1)
    for _ in range(2000):
        counts = rng.integers(1, 30, rng.integers(3, 9))
        plane = np.repeat(np.arange(counts.size, dtype=float), counts)[np.newaxis]
        ours = li_threshold(plane, 1, plane.size, np.empty((3, plane.size)))
        assert np.array_equal(plane > ours, plane > threshold_li(plane)), counts


@pytest.mark.parametrize("n", [*range(20), 127, 128, 129, 136, 500, 1600, 4096, 5003, 100_003])
def test_sums_are_numpys_to_the_last_bit(n: int) -> None:
    values = np.random.default_rng(n).lognormal(0, 5, n)
    assert pairwise_sum(values, n) == values.sum()


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 300), st.integers(1, 400), st.integers(0, 2**32))
def test_the_kth_smallest_is_the_sorted_ones(n: int, levels: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, levels, n)
    k = seed % n
    assert select(values.copy(), n, k) == np.sort(values)[k]
    for dtype in ("u1", "u2", "u4", "u8"):
        top = np.iinfo(dtype).max
        spread = (values % 256).astype(dtype) * top if seed % 2 else (values % 256).astype(dtype)
        assert select_unsigned(spread, n, k) == np.sort(spread)[k]


CACHED = """
import numpy as np
from scip_mpi.batches import ImageBatch
from scip_mpi.segmentation.li import li
from scip_mpi.segmentation.otsu import otsu
from scip_mpi.segmentation.spot import spot
image = np.random.default_rng(0).integers(0, 9999, (1, 40, 40)).astype(np.uint16)
image[0, 10:30, 10:30] += 9999
batch, on = ImageBatch.from_images([image]), np.ones((1, 1), bool)
print([int(m.sum()) for m in (li(batch, on, np, smooth=1), otsu(batch, on, np),
                              spot(batch, on, np, spotsize=2))])
"""


def test_a_second_process_compiles_nothing_and_sees_the_same(tmp_path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    printed, files = [], []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", CACHED], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
        files.append(sorted(p.name for p in tmp_path.rglob("*.nbc")))
    assert printed[0] == printed[1]
    assert files[0] == files[1]
    assert files[0]
