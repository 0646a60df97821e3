"""Objects of fields by the CUDA kernels, compiled for the CPU, against numba's."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from emulated_cupy import EmulatedCupy, OutOfMemoryError
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from scip_mpi.batches import ImageBatch
from scip_mpi.devices import DeviceLost
from scip_mpi.errors import UserError
from scip_mpi.segmentation.field_watershed import watershed
from scip_mpi.segmentation.fields import Segmenter
from scip_mpi.segmentation.gpu import fields
from scip_mpi.segmentation.gpu.cuda import CudaDevice
from scip_mpi.segmentation.gpu.fake import FakeDevice
from scip_mpi.segmentation.gpu.recipes import C_TYPES
from scip_mpi.segmentation.gpu.use import DeviceUse
from scip_mpi.segmentation.threshold import threshold
from scip_mpi.simulation import cell

SETTINGS: dict[str, dict[str, Any]] = {
    "li": {},
    "otsu": {"threshold": "otsu", "cell_diameter": 12.0},
    "triangle": {"threshold": "triangle", "smoothing": 1.3},
    "value": {"threshold": 700.0, "cell_diameter": 9},
    "expanded": {"threshold": "li", "cell_diameter": 15.0, "expansion_factor": 0.3},
}
ways = pytest.mark.parametrize("name", SETTINGS)


def blobs(shape: tuple[int, int], blur: float, dtype: Any, seed: int) -> np.ndarray:
    """Discs of many sizes, some of which touch."""
    noise = np.random.default_rng(seed).random(shape)
    return (1000 + 4000 * (ndimage.gaussian_filter(noise, blur) - 0.5)).astype(dtype)


def same(module: EmulatedCupy, batch: ImageBatch, channel: int = 0, **own: Any) -> tuple[int, int]:
    """Objects of labels that must be the CPU's, and fields left to it."""
    device = CudaDevice(0, batch.pixels.dtype, module)
    made = device.label(batch, {"channel": channel, **own})
    wanted = watershed(batch, np, channel=channel, **own)
    for i in np.flatnonzero(~made.left):
        plane = slice(batch.planes[i], batch.planes[i + 1])
        assert np.array_equal(made.labels[plane], wanted[plane]), i
    return int(wanted.max(initial=0)), int(made.left.sum())


@ways
@pytest.mark.parametrize("dtype", C_TYPES)
def test_ragged_fields_of_every_type(name: str, dtype: str, emulated: EmulatedCupy) -> None:
    scale = 30 if np.dtype(dtype).itemsize == 1 else 1
    images = [
        np.stack([blobs(shape, blur, np.float64, k + 7 * c) / scale for c in range(2)])
        for k, (shape, blur) in enumerate([((70, 90), 2.0), ((33, 41), 1.0), ((5, 7), 0.5)])
    ]
    own = dict(SETTINGS[name])
    if name == "value":
        own["threshold"] = 1000.0 / scale
    batch = ImageBatch.from_images([i.astype(dtype) for i in images], dtype=dtype)
    objects, left = same(emulated, batch, 1, **own)
    assert objects > 3
    assert left == 0


@ways
def test_real_fields(name: str, shared_dir: Path, emulated: EmulatedCupy) -> None:
    folder = shared_dir / "data" / "segmentation_truth" / "bbbc007_fields"
    images = [tifffile.imread(f)[np.newaxis] for f in sorted(folder.glob("*.tif"))[:3]]
    objects, left = same(emulated, ImageBatch.from_images(images), **SETTINGS[name])
    assert objects > 20 or name == "value"
    assert left == 0


def test_simulated_fields(emulated: EmulatedCupy) -> None:
    tiles = [np.pad(cell(2, k)[0], [(0, 0), (0, 20), (0, 20)], mode="reflect") for k in range(9)]
    rows = [np.concatenate([t[:, :48, :48] for t in tiles[k : k + 3]], axis=2) for k in (0, 3, 6)]
    batch = ImageBatch.from_images([np.concatenate(rows, axis=1)])
    for channel in (0, 1):
        same(emulated, batch, channel)


@settings(max_examples=120, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=3),
    dtype=st.sampled_from(["u1", "u2", "i4", "f4", "f8"]),
    blur=st.sampled_from([0.5, 2.0, 5.0]),
    levels=st.sampled_from([None, 2, 7]),
    diameter=st.sampled_from([None, 1.0, 4.0, 9.0, 50.0]),
    smoothing=st.sampled_from([None, 0.0, 0.7, 6.0]),
    chosen=st.sampled_from(["li", "otsu", "triangle", 3.0, -1.0]),
    seed=st.integers(0, 2**32 - 1),
    threads=st.integers(1, 9),
)
def test_any_field(
    shapes, dtype, blur, levels, diameter, smoothing, chosen, seed, threads, compiled: Path
) -> None:
    images = []
    for k, shape in enumerate(shapes):
        plane = blobs(shape, blur, np.float64, seed + k) / 30
        if levels is not None:
            # Many pixels are equal, and so are many maxima of the distance.
            plane = np.round(plane / plane.max() * levels)
        images.append(plane[np.newaxis].astype(dtype))
    module = EmulatedCupy(compiled, threads=threads)
    module.descending = bool(seed % 2)
    same(
        module, ImageBatch.from_images(images, dtype=dtype), cell_diameter=diameter,
        smoothing=smoothing, threshold=chosen,
    )  # fmt: skip


@pytest.mark.parametrize("chosen", ["li", "otsu", "triangle", 5.0, -5.0])
def test_full_empty_and_strange_fields(chosen: str | float, emulated: EmulatedCupy) -> None:
    planes = [np.full((9, 12), value) for value in (0.0, 7.0, np.nan)]
    planes += [np.eye(9), 1 - np.eye(9), np.full((9, 9), 1000.0), np.full((1, 1), 6.0)]
    planes[5][4, 4] = np.nextafter(1000.0, np.inf)
    planes.append(np.arange(81.0).reshape(9, 9))
    planes[7][3, 3] = np.inf
    batch = ImageBatch.from_images([p[np.newaxis] for p in planes])
    for diameter in (None, 3.0):
        with np.errstate(invalid="ignore"):
            left = same(emulated, batch, threshold=chosen, cell_diameter=diameter)[1]
        assert left >= 2


def test_fields_in_turn_and_fields_left_over(
    emulated: EmulatedCupy, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = [(40, 40), (20, 61), (40, 45), (33, 33)]
    batch = ImageBatch.from_images([blobs(s, 2.0, "u2", 5)[np.newaxis] for s in shapes])
    monkeypatch.setattr(fields, "MOST_SCRATCH", 400_000)
    monkeypatch.setattr(fields, "MOST_SIDES", 80)
    assert same(emulated, batch)[1] == 2
    assert emulated.launches == 3


def test_what_a_rank_does_with_a_device(emulated: EmulatedCupy) -> None:
    batch = ImageBatch.from_images([blobs((50, 40), 2.0, "u2", k)[np.newaxis] for k in range(6)])
    wanted = watershed(batch, np, channel=0)
    segmenter = Segmenter(watershed, {})
    log: list[str] = []

    def right(use: DeviceUse) -> bool:
        own = use.on_fields(segmenter, "watershed")
        return np.array_equal(own(batch, 0, {}, np), wanted)

    size = batch.pixels.nbytes // 6
    for capacity, halved, on_cpu in ((None, False, 0), (2 * size, True, 0), (0, True, 6)):
        use = DeviceUse(FakeDevice("fake", capacity), "fake", log.append)
        assert right(use)
        assert (use.halved > 0, use.on_cpu) == (halved, on_cpu)
    use = DeviceUse(FakeDevice("fake", calls_left=0), "fake", log.append)
    with pytest.raises(DeviceLost):
        right(use)
    assert use.lost == "made to fail"
    assert right(use)
    use = DeviceUse(CudaDevice(0, np.dtype("u2"), emulated), "emulated", log.append)
    assert right(use)
    assert (use.images, use.planes_on_cpu) == (6, 0)
    emulated.failing = OutOfMemoryError("too much")
    assert right(use)
    assert use.halved == 1
    assert use.on_fields(Segmenter(threshold, {}), "threshold").method is threshold


def test_settings_out_of_range_are_refused_there_too(emulated: EmulatedCupy) -> None:
    batch = ImageBatch.from_images([np.ones((1, 5, 5), np.uint8)])
    use = DeviceUse(CudaDevice(0, np.dtype("u1"), emulated), "emulated", print)
    own = use.on_fields(Segmenter(watershed, {"cell_diameter": 0.0}), "watershed")
    with pytest.raises(UserError, match="cell_diameter"):
        own(batch, 0, {}, np)


@pytest.mark.gpu
@ways
def test_on_a_gpu(name: str, shared_dir: Path) -> None:
    cupy = pytest.importorskip("cupy")
    if not cupy.cuda.is_available():
        pytest.skip("no GPU")
    check = partial(same, cupy, **SETTINGS[name])
    folder = shared_dir / "data" / "segmentation_truth" / "bbbc007_fields"
    check(ImageBatch.from_images([tifffile.imread(f)[np.newaxis] for f in folder.glob("*.tif")]))
    for dtype in C_TYPES:
        large = blobs((2048, 2048), 4.0, np.float64, 1) / 30
        check(ImageBatch.from_images([large[np.newaxis].astype(dtype)]))
