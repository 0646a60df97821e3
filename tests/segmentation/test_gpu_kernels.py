"""The CUDA kernels, compiled for the CPU and run behind the device's own code, against numba's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from cells import jurkat_files
from emulated_cupy import (
    CUDADriverError,
    CUDARuntimeError,
    EmulatedCupy,
    OutOfMemoryError,
    Stream,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_twins import as_type, everything, speckled, twelve_channel_images

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch
from scip_mpi.devices import DeviceLost, OutOfMemory
from scip_mpi.segmentation.bits import unpack_set
from scip_mpi.segmentation.chain import MaskSet, make_masks
from scip_mpi.segmentation.cleaning import Cleaning
from scip_mpi.segmentation.gpu import METHODS, cuda
from scip_mpi.segmentation.gpu.cuda import CudaDevice
from scip_mpi.segmentation.gpu.recipes import C_TYPES, SUMMARY, Wanted
from scip_mpi.segmentation.gpu.use import DeviceUse, packed_masks
from scip_mpi.segmentation.li import li
from scip_mpi.segmentation.otsu import otsu
from scip_mpi.segmentation.sobel import sobel
from scip_mpi.segmentation.spot import spot
from scip_mpi.segmentation.threshold import threshold
from scip_mpi.segmentation.watershed import watershed
from scip_mpi.simulation import cell
from scip_mpi.summaries import whole_table

CPU = {
    "li": li,
    "otsu": otsu,
    "sobel": sobel,
    "spot": spot,
    "threshold": threshold,
    "watershed": watershed,
}
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "li-0": ("li", {"smooth": 0}),
    "li-0.5": ("li", {"smooth": 0.5}),
    "li-1.7": ("li", {"smooth": 1.7}),
    "otsu": ("otsu", {}),
    "spot-1": ("spot", {"spotsize": 1}),
    "spot-5": ("spot", {"spotsize": 5}),
    "spot-8": ("spot", {"spotsize": 8}),
    "sobel": ("sobel", {}),
    "watershed": ("watershed", {}),
    "fixed": ("threshold", {"method": "fixed", "value": 900.0}),
    "fixed-dark": ("threshold", {"method": "fixed", "value": 900, "foreground": "dark"}),
    "t-otsu": ("threshold", {"method": "otsu"}),
    "t-otsu-1": ("threshold", {"method": "otsu", "smooth": 1.0, "foreground": "dark"}),
    "t-li": ("threshold", {"method": "li"}),
    "t-li-1": ("threshold", {"method": "li", "smooth": 1.0}),
    "triangle": ("threshold", {"method": "triangle", "foreground": "dark"}),
    "triangle-1": ("threshold", {"method": "triangle", "smooth": 1.0}),
    "percentile": ("threshold", {"method": "percentile", "percentile": 73.3, "smooth": 0.6}),
    "percentile-0": ("threshold", {"method": "percentile", "percentile": 40}),
    "local": ("threshold", {"method": "local", "block_size": 9, "offset": 2.5}),
    "local-dark": ("threshold", {"method": "local", "foreground": "dark", "smooth": 0.5}),
}
# Whether anything is above a given value hangs on the images.
FIXED = ("fixed", "fixed-dark")
SHAPES = [(40, 40), (31, 52), (64, 20), (9, 70), (26, 26), (5, 7)]
methods = pytest.mark.parametrize("name", SETTINGS)


CLEANINGS = [
    Cleaning(),
    Cleaning(opening=1),
    Cleaning(opening=3, fill_holes=True, min_size=9, max_size=150, largest_component=True),
    Cleaning(fill_holes=True),
    Cleaning(min_size=30, largest_component=True),
    Cleaning(max_size=40),
]


def set_of(
    name: str, border: bool = True, cleaning: Cleaning = CLEANINGS[0]
) -> tuple[str, MaskSet]:
    method, own = SETTINGS[name]
    return method, MaskSet(method, CPU[method], own, border=border, cleaning=cleaning)


def wanted_of(batch: ImageBatch) -> Wanted:
    """The image's summary, and statistics of every second channel."""
    saturation = np.full(batch.channels, float(np.median(batch.pixels)))
    channels = range(0, batch.channels, 2)
    on_cpu = partial(whole_table, saturation=saturation, summary=True, channels=channels)
    return Wanted(saturation, True, channels, on_cpu)


def same_numbers(ours: FloatArray, theirs: FloatArray, wanted: Wanted) -> bool:
    """Whether all that was to be measured is the same."""
    summaries, statistics = np.s_[:, :, :SUMMARY], np.s_[:, list(wanted.channels), SUMMARY:]
    return np.array_equal(ours[summaries], theirs[summaries], equal_nan=True) and np.array_equal(
        ours[statistics], theirs[statistics], equal_nan=True
    )


def same(
    name: str,
    batch: ImageBatch,
    module: EmulatedCupy,
    enabled: BoolArray | None = None,
    border: bool = False,
    cleaning: Cleaning = CLEANINGS[0],
) -> tuple[int, float]:
    """Pixels of masks, and the part of planes left to the CPU, of masks that must be the CPU's."""
    method, chosen = set_of(name, border, cleaning)
    enabled = everything(batch) if enabled is None else enabled
    device = CudaDevice(0, batch.pixels.dtype, module)
    wanted = wanted_of(batch)
    made = device.make(chosen, method, batch, enabled, wanted)
    masks, regions, boxes = make_masks(chosen, batch, enabled, np)
    assert not made.left[~enabled].any()
    for i in range(len(batch)):
        ours, theirs = (
            m[batch.offsets[i] : batch.offsets[i + 1]].reshape(batch.shapes[i])
            for m in (unpack_set(made.bits, batch.shapes), masks)
        )
        for c in np.flatnonzero(~made.left[i]):
            assert np.array_equal(ours[c], theirs[c]), (i, c)
    assert np.array_equal(made.regions[~made.left], regions[~made.left])
    sound = ~made.left.any(axis=1)
    assert np.array_equal(made.boxes[sound], boxes[sound])
    assert made.measured is not None
    assert same_numbers(made.measured[sound], wanted.on_cpu(batch, masks)[sound], wanted)
    return int(masks.sum()), float(made.left[enabled].mean()) if enabled.any() else 0.0


@methods
def test_ragged_images(name: str, emulated: EmulatedCupy) -> None:
    pixels, left = same(name, ImageBatch.from_images(speckled(SHAPES * 2, 3)), emulated)
    assert pixels > 100
    # Li's iteration ends by the smallest gap of two pixels now and then.
    assert left == 0 or (name == "t-li-1" and left < 0.1)


@methods
@pytest.mark.parametrize("dtype", C_TYPES)
def test_every_type_of_pixel(name: str, dtype: str, emulated: EmulatedCupy) -> None:
    images = speckled(SHAPES, 2, seed=1)
    if dtype in ("uint32", "uint64", "int64"):
        images = [image.astype(np.int64) * 40_000 - 7 * (dtype == "int64") for image in images]
        images = [image.astype(dtype) for image in images]
    else:
        images = [as_type(image, np.dtype(dtype).str[1:]) for image in images]
    pixels = same(name, ImageBatch.from_images(images, dtype=dtype), emulated)[0]
    assert pixels > 10 or name in FIXED


@methods
def test_real_cells(name: str, shared_dir: Path, emulated: EmulatedCupy) -> None:
    images = [tifffile.imread(f) for f in jurkat_files(shared_dir, 40)]
    for border in (False, True):
        pixels, left = same(name, ImageBatch.from_images(images), emulated, None, border)
        assert pixels > 1000 or name in FIXED
        assert left == 0 or (name == "t-li-1" and left < 0.1)


@methods
def test_twelve_channels(name: str, shared_dir: Path, emulated: EmulatedCupy) -> None:
    real = ImageBatch.from_images(twelve_channel_images(shared_dir)[:8])
    simulated = ImageBatch.from_images([cell(5, k)[0] for k in range(3)])
    for batch in (real, simulated):
        assert same(name, batch, emulated, border=True)[0] > 500 or name in FIXED


@methods
@pytest.mark.parametrize("border", [False, True])
@pytest.mark.parametrize("cleaning", CLEANINGS)
def test_cleaning(name: str, border: bool, cleaning: Cleaning, emulated: EmulatedCupy) -> None:
    batch = ImageBatch.from_images(speckled(SHAPES, 2, seed=7))
    same(name, batch, emulated, None, border, cleaning)


@methods
@pytest.mark.parametrize(("threads", "descending"), [(1, False), (7, True), (64, False)])
def test_threads_and_their_order_change_nothing(
    name: str, threads: int, descending: bool, emulated: EmulatedCupy
) -> None:
    emulated.threads, emulated.descending = threads, descending
    same(name, ImageBatch.from_images(speckled(SHAPES, 3, seed=2)), emulated)


@methods
def test_a_plane_of_many_sums(name: str, emulated: EmulatedCupy) -> None:
    """Larger than one multiprocessor's share, with deep trees of sums of uneven halves."""
    same(name, ImageBatch.from_images(speckled([(131, 127), (200, 90)], 1, seed=3)), emulated)


FLAT = [0, 1, 255, 512, 513, 65535]


@methods
def test_flat_tiny_and_two_levels(name: str, emulated: EmulatedCupy) -> None:
    shapes = [(1, 1), (1, 9), (13, 1), (2, 2), (2, 4), (30, 30)]
    images = [np.full((1, *s), v, np.uint16) for s in shapes for v in FLAT]
    pixels = same(name, ImageBatch.from_images(images), emulated)[0]
    assert pixels == 0 or name in (*FIXED, "local", "local-dark")
    rng = np.random.default_rng(3)
    images = []
    for low, high in [(0, 65535), (0, 1), (512, 513), (65534, 65535), (0, 512)]:
        image = np.full((2, 30, 34), low, np.uint16)
        image[0, 8:20, 9:22] = high
        image[1][rng.random((30, 34)) < 0.1] = high
        images.append(image)
    same(name, ImageBatch.from_images(images), emulated)


@settings(max_examples=150, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 14), st.integers(1, 14)), min_size=1, max_size=3),
    dtype=st.sampled_from(sorted(C_TYPES)),
    levels=st.integers(1, 400),
    seed=st.integers(0, 2**32),
    threads=st.integers(1, 9),
    border=st.booleans(),
    cleaning=st.builds(
        Cleaning,
        opening=st.integers(0, 4),
        fill_holes=st.booleans(),
        min_size=st.integers(0, 20),
        max_size=st.none() | st.integers(1, 60),
        largest_component=st.booleans(),
    ),
    name=st.sampled_from(sorted(SETTINGS)),
)
def test_odd_shapes_of_few_levels(
    shapes, dtype, levels, seed, threads, border, cleaning, name, compiled: Path
) -> None:
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, levels, (2, h, w)).astype(dtype) for h, w in shapes]
    module = EmulatedCupy(compiled, threads=threads)
    same(name, ImageBatch.from_images(images), module, None, border, cleaning)


@methods
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_that_are_not_finite_or_overflow(
    name: str, dtype: str, emulated: EmulatedCupy
) -> None:
    images = [a.astype(dtype) for a in speckled([(30, 30)] * 8, 1)]
    images[0][:] = np.nan
    images[1][0, 3, 4] = np.nan
    images[2][0, 3, 4] = np.inf
    images[3][:] = -np.inf
    images[4][0, 9, 9] = np.finfo(dtype).max
    images[5][0, 9, 9], images[5][0, 20, 20] = np.finfo(dtype).max, np.finfo(dtype).min
    images[6][:] = -0.0
    # Below the least normal number of single precision.
    images[7] *= np.dtype(dtype).type(1e-41)
    with np.errstate(over="ignore", invalid="ignore"):
        same(name, ImageBatch.from_images(images), emulated)


@methods
def test_channels_that_are_not_enabled(name: str, emulated: EmulatedCupy) -> None:
    batch = ImageBatch.from_images(speckled(SHAPES, 3, seed=5))
    enabled = np.random.default_rng(0).random((len(batch), 3)) < 0.5
    same(name, batch, emulated, enabled)
    assert same(name, batch, emulated, np.zeros((len(batch), 3), bool)) == (0, 0.0)


@methods
def test_pieces_in_turn_on_two_streams(
    name: str, emulated: EmulatedCupy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "PIECE", 12_000)
    same(name, ImageBatch.from_images(speckled(SHAPES * 3, 2, seed=6)), emulated)
    assert emulated.launches >= 6


def taken_over(module: EmulatedCupy, log: list[str]) -> Callable[[], DeviceUse]:
    """Masks of a batch by a device that may be too small, and the CPU for the rest."""
    batch = ImageBatch.from_images(speckled(SHAPES * 2, 3))
    device = CudaDevice(0, batch.pixels.dtype, module)

    def go() -> DeviceUse:
        use = DeviceUse(device, device.name, log.append)
        for name in ("li-0.5", "otsu", "spot-5"):
            method, chosen = set_of(name)
            asked = wanted_of(batch)
            wanted = packed_masks(chosen, batch, everything(batch), asked)
            own = use.on(chosen, method, asked)
            assert own.device is not None
            try:
                made = own.device(batch, everything(batch))
            except DeviceLost:
                # What was begun is done on the CPU if it is given again.
                assert use.lost
                made = own.device(batch, everything(batch))
            for name in ("bits", "regions", "boxes"):
                assert np.array_equal(getattr(made, name), getattr(wanted, name))
            assert same_numbers(made.measured, wanted.measured, asked)
        return use

    return go


def test_less_memory_gives_fewer_blocks_then_smaller_batches_then_the_cpu(
    compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "BLOCKS", 100)
    facts = []
    for memory in (10_000_000, 200_000, 130_000, 60_000, 20_000, 1_000):
        module = EmulatedCupy(compiled, memory)
        use = taken_over(module, [])()
        facts.append((use.halved, use.on_cpu))
        assert module.held <= memory
        use.close()
        assert module.held == 0
    assert facts[0] == facts[1] == (0, 0)
    assert facts[2][0] > 0
    assert facts[2][1] == 0
    assert facts[-1] == (facts[-1][0], 36)


@pytest.mark.parametrize("error", [CUDARuntimeError(719), CUDADriverError(700)])
def test_a_device_that_fails_is_left(error: Exception, emulated: EmulatedCupy) -> None:
    log: list[str] = []
    go = taken_over(emulated, log)
    emulated.failing = error
    use = go()
    assert str(error) in use.lost
    assert "emulated (device 0) failed" in log[0]


def test_memory_that_is_short_in_a_launch_is_no_failure(emulated: EmulatedCupy) -> None:
    go = taken_over(emulated, [])
    emulated.failing = CUDADriverError(2)
    use = go()
    assert use.lost == ""
    assert use.halved == 1


def test_a_device_that_fails_while_memory_is_given_back(
    emulated: EmulatedCupy, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = taken_over(emulated, [])
    emulated.failing = OutOfMemoryError("too much")

    def gone(stream: Stream) -> None:
        raise CUDARuntimeError(700)

    monkeypatch.setattr(Stream, "synchronize", gone)
    assert "700" in go().lost


def test_what_cannot_be_compiled_or_opened(
    emulated: EmulatedCupy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "source", lambda dtype: "no C++")
    with pytest.raises(DeviceLost, match="cannot be compiled"):
        CudaDevice(0, np.dtype("u2"), emulated)

    def no_device(number: int) -> None:
        raise CUDARuntimeError(101)

    emulated.cuda.Device = no_device
    with pytest.raises(DeviceLost, match="101"):
        CudaDevice(0, np.dtype("u2"), emulated)
    emulated.cuda.Device = lambda number: (_ for _ in ()).throw(CUDARuntimeError(2))
    with pytest.raises(OutOfMemory):
        CudaDevice(0, np.dtype("u2"), emulated)


def test_types_without_kernels_are_left_to_the_cpu(emulated: EmulatedCupy) -> None:
    device = CudaDevice(0, np.dtype("u2"), emulated)
    batch = ImageBatch.from_images([np.ones((2, 9, 9), np.float16)])
    enabled = np.array([[True, False]])
    made = device.make(set_of("otsu")[1], "otsu", batch, enabled, None)
    assert not made.bits.any()
    assert np.array_equal(made.left, enabled)


def test_every_method_is_tested() -> None:
    assert {method for method, _ in SETTINGS.values()} == set(METHODS)


@pytest.mark.gpu
@methods
def test_on_a_gpu(name: str, shared_dir: Path) -> None:
    cupy = pytest.importorskip("cupy")
    if not cupy.cuda.is_available():
        pytest.skip("no GPU")
    images = [tifffile.imread(f) for f in jurkat_files(shared_dir, 600)]
    assert same(name, ImageBatch.from_images(images), cupy)[1] == 0
    same(name, ImageBatch.from_images(twelve_channel_images(shared_dir)), cupy)
    for dtype in C_TYPES:
        shapes = [(1, 1), (5, 7), (64, 64), (300, 210)]
        rng = np.random.default_rng(0)
        images = [rng.integers(0, 120, (2, h, w)).astype(dtype) for h, w in shapes]
        same(name, ImageBatch.from_images(images), cupy)
