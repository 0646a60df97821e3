"""What a rank does when its device has no memory left, fails, or leaves something over."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from mask_twins import speckled

from scip_mpi.batches import ImageBatch
from scip_mpi.devices import DeviceLost
from scip_mpi.segmentation.bits import bit_offsets
from scip_mpi.segmentation.chain import MaskSet, PackedMasks
from scip_mpi.segmentation.circle import circle
from scip_mpi.segmentation.gpu.fake import FakeDevice
from scip_mpi.segmentation.gpu.use import DeviceUse, packed_masks, part, pieces, remarks
from scip_mpi.segmentation.otsu import otsu
from scip_mpi.segmentation.spot import spot

SHAPES = [(40, 40), (31, 52), (64, 20), (9, 70), (26, 26), (5, 7)]
BATCH = ImageBatch.from_images(speckled(SHAPES * 2, 3))
ENABLED = np.arange(36).reshape(12, 3) % 5 > 0
LARGEST = int(np.diff(BATCH.offsets).max()) * BATCH.pixels.itemsize


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def use(log: list[str]) -> Callable[..., DeviceUse]:
    return lambda **faults: DeviceUse(FakeDevice("fake", **faults), "fake", log.append)


OTSU = MaskSet("otsu", otsu, {})
WANTED = packed_masks(OTSU, BATCH, ENABLED)


def same(made: PackedMasks, wanted: PackedMasks) -> bool:
    names = ("bits", "regions", "boxes")
    return all(np.array_equal(getattr(made, name), getattr(wanted, name)) for name in names)


def right(use: DeviceUse) -> bool:
    """Whether masks, regions and boxes are those of the CPU."""
    own = use.on(OTSU, "otsu")
    assert own.device is not None
    return same(own.device(BATCH, ENABLED), WANTED)


def test_a_sound_device(use, log: list[str]) -> None:
    own = use()
    assert right(own)
    assert own.facts() == {
        "name": "fake", "images": 12, "batches_halved": 0, "images_on_cpu": 0, "planes_on_cpu": 0,
        "lost": "", "chunks_handed_over": 0, "on_cpu_instead": False,
    }  # fmt: skip
    assert log == remarks([own.facts(), None]) == []


@pytest.mark.parametrize("capacity", [LARGEST, 2 * LARGEST, 5 * LARGEST])
def test_batches_are_halved_until_they_fit(capacity: int, use, log: list[str]) -> None:
    own = use(capacity=capacity)
    assert right(own)
    assert own.images == 12
    assert own.halved > 0
    assert own.on_cpu == 0
    assert len(log) == 1
    assert "fake is out of memory" in log[0]
    # What was learnt holds for the next batch.
    before = own.halved
    assert right(own)
    assert own.halved == before


def test_an_image_that_does_not_fit_alone_is_done_on_the_cpu(use, log: list[str]) -> None:
    own = use(capacity=LARGEST - 1)
    assert right(own)
    large = int((np.diff(BATCH.offsets) * BATCH.pixels.itemsize == LARGEST).sum())
    assert own.on_cpu == large
    assert own.images == 12 - large
    assert len(log) == 2
    assert "no memory for a single image" in log[1]
    assert remarks([own.facts()]) == [
        f"devices ran out of memory: {own.halved} batches were halved, {large} images done on "
        "the CPU"
    ]


def test_nothing_fits_at_all(use) -> None:
    own = use(capacity=0)
    assert right(own)
    assert own.on_cpu == 12
    assert own.images == 0


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_a_device_that_fails_leaves_what_is_begun_to_the_caller(
    calls: int, use, log: list[str]
) -> None:
    own = use(capacity=2 * LARGEST, calls_left=calls)
    assert not own.idle()
    with pytest.raises(DeviceLost, match="made to fail"):
        right(own)
    assert own.device is None
    assert own.idle()
    assert own.lost == "made to fail"
    assert log[-1].startswith("the device fake failed (made to fail)")
    images = own.images
    assert right(own)
    assert own.images == images
    sound = {**own.facts(), "lost": "", "batches_halved": 0}
    own.handed_over = 3
    assert remarks([own.facts() | {"batches_halved": 0}, sound, None]) == [
        "1 of 2 devices failed (made to fail): 3 of their chunks went to other devices"
    ]
    own.go_on()
    assert not own.idle()
    assert remarks([own.facts() | {"batches_halved": 0}, None]) == [
        "1 of 1 devices failed (made to fail): 3 of their chunks went to all ranks' CPUs"
    ]


def test_channels_that_a_device_leaves_over_are_done_on_the_cpu(log: list[str]) -> None:
    left = np.random.default_rng(0).random(ENABLED.shape) < 0.3

    class Choosy(FakeDevice):
        def make(self, mask_set, method, batch, enabled, wanted):
            made = super().make(mask_set, method, batch, enabled, wanted)
            rows = np.searchsorted(BATCH.index, batch.index)
            made.left[:] = left[rows]
            offsets = bit_offsets(batch.shapes)
            for i in np.flatnonzero(made.left.any(axis=1)):
                made.bits[offsets[i] : offsets[i + 1]] = 7
                made.regions[i] = made.boxes[i] = 7
            return made

    own = DeviceUse(Choosy("choosy"), "choosy", log.append)
    assert right(own)
    assert own.planes_on_cpu == left.sum()


def test_settings_reach_the_device(use) -> None:
    chosen = MaskSet("s", spot, {"spotsize": 2}, border=False)
    own = use().on(chosen, "spot")
    wanted = packed_masks(chosen, BATCH, ENABLED)
    assert same(own.device(BATCH, ENABLED), wanted)
    none = own.device(part(BATCH, 0, 0), ENABLED[:0])
    assert [a.shape for a in (none.bits, none.regions, none.boxes)] == [(0,), (0, 0), (0, 4)]


def test_other_methods_stay_as_they_are(use) -> None:
    chosen = MaskSet("c", circle, {})
    assert use().on(chosen, "circle") is chosen


def test_pieces_of_a_batch() -> None:
    assert pieces(BATCH, None) == [(0, 12)]
    assert pieces(part(BATCH, 0, 0), 5) == []
    assert pieces(BATCH, 1) == [(i, i + 1) for i in range(12)]
    found = pieces(BATCH, 2 * LARGEST)
    assert [lo for lo, _ in found[1:]] == [hi for _, hi in found[:-1]]
    for lo, hi in found:
        assert part(BATCH, lo, hi).pixels.nbytes <= 2 * LARGEST
        assert [i.tolist() for i in part(BATCH, lo, hi)] == [
            BATCH.image(k).tolist() for k in range(lo, hi)
        ]
