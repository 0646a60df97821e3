"""Masks on a GPU against one CPU core, and against the bytes that must move.

Images per second for the mask methods on 12-channel cells of 64 x 64 pixels and on fields of
2048 x 2048, and for ``segment: watershed`` on one channel of such fields; pixels in the CPU's
memory at the start and packed masks, or labels, there at the end; the transfers alone, by the same
code without its kernels; and whether all is the CPU's, bit for bit.

Without a GPU it says so and measures nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import click
import harness
import numpy as np
from harness import Settings

from scip_mpi import registry, simulation
from scip_mpi.batches import ImageBatch
from scip_mpi.devices import FAKE_PREFIX, DeviceLost, OutOfMemory, visible_devices
from scip_mpi.segmentation.bits import bit_offsets
from scip_mpi.segmentation.chain import MaskSet
from scip_mpi.segmentation.field_watershed import watershed
from scip_mpi.segmentation.gpu.opening import open_device
from scip_mpi.segmentation.gpu.use import Labelled, Made, packed_masks, part

METHODS: Mapping[str, Mapping[str, Any]] = {
    "li": {"smooth": 1.0},
    "otsu": {},
    "spot": {"spotsize": 5},
    "threshold": {"method": "otsu", "smooth": 1.0},
    "watershed": {},
}
# The CPU makes this method's masks of planes as large as a field's.
CELLS_ONLY = ("watershed",)
# A field for `segment: watershed`: nuclei of this diameter.
DIAMETER = 20.0
CHANNELS = 12


def cells(number: int, size: int = 64) -> ImageBatch:
    """Simulated cells, cut or mirrored to one size; some are there several times."""
    distinct = [fitted(simulation.cell(CHANNELS, k)[0], size) for k in range(min(number, 200))]
    return ImageBatch.from_images([distinct[k % len(distinct)] for k in range(number)])


def fields(number: int, size: int = 2048) -> ImageBatch:
    """Fields of simulated cells side by side."""
    tiles = [fitted(simulation.cell(CHANNELS, k)[0], 64) for k in range(64)]
    rng = np.random.default_rng(0)
    images = []
    for _ in range(number):
        across = size // 64
        order = rng.integers(0, len(tiles), (across, across))
        rows = [np.concatenate([tiles[k] for k in row], axis=2) for row in order]
        images.append(np.concatenate(rows, axis=1))
    return ImageBatch.from_images(images)


def fitted(image: Any, size: int) -> Any:
    """An image of the size wanted."""
    grown = [(0, max(0, size - n)) for n in image.shape[1:]]
    return np.pad(image, [(0, 0), *grown], mode="reflect")[:, :size, :size]


def compare(
    device: Any, method: str, batch: ImageBatch, repeats: int, on_cpu: int
) -> dict[str, Any]:
    """Rates of the device, of its transfers alone and of a CPU core; whether masks are equal."""
    enabled = np.ones((len(batch), batch.channels), bool)
    chosen = MaskSet(method, registry.find("masks", method), METHODS[method])
    few = part(batch, 0, min(on_cpu, len(batch)))

    def once() -> Made:
        return device.make(chosen, method, batch, enabled, None)

    made = once()
    wanted, cpu = on_core(lambda: packed_masks(chosen, few, enabled[: len(few)]))
    whole = ~made.left[: len(few)].any(axis=1)
    packed = np.repeat(whole, np.diff(bit_offsets(few.shapes)))
    identical = (
        (made.bits[: wanted.bits.size] == wanted.bits)[packed].all()
        and (made.regions[: len(few)] == wanted.regions)[whole].all()
        and (made.boxes[: len(few)] == wanted.boxes)[whole].all()
    )
    moved = batch.pixels.nbytes + made.bits.nbytes
    return {
        "method": method,
        **rates(device, batch, once, cpu / len(few), moved, repeats),
        "planes_left_to_cpu": int(made.left.sum()),
        "identical": bool(identical),
    }


def compare_labels(device: Any, batch: ImageBatch, repeats: int, on_cpu: int) -> dict[str, Any]:
    """The same for objects of fields: `segment: watershed` of their first channel."""
    settings = {"channel": 0, "cell_diameter": DIAMETER}
    few = part(batch, 0, min(on_cpu, len(batch)))

    def once() -> Labelled:
        return device.label(batch, settings)

    made = once()
    wanted, cpu = on_core(lambda: watershed(few, np, channel=0, cell_diameter=DIAMETER))
    there = np.repeat(~made.left[: len(few)], np.diff(few.planes))
    moved = int(batch.planes[-1]) * batch.pixels.itemsize + made.labels.nbytes
    return {
        "method": "segment: watershed",
        **rates(device, batch, once, cpu / len(few), moved, repeats),
        "planes_left_to_cpu": int(made.left.sum()),
        "identical": bool((made.labels[: wanted.size] == wanted)[there].all()),
    }


def rates(
    device: Any,
    batch: ImageBatch,
    once: Callable[[], Any],
    cpu: float,
    moved: int,
    repeats: int,
) -> dict[str, Any]:
    """Images per second of the device and of a core, and of the transfers without kernels.

    ``cpu`` is a core's seconds for an image, ``moved`` the bytes of all of them.
    """
    seconds = [timed(once) for _ in range(repeats)]
    kernels = device.compiled(batch.pixels.dtype)
    kept = dict(kernels)
    kernels.update(dict.fromkeys(kernels, lambda *arguments: None))
    transfers = [timed(once) for _ in range(repeats)]
    kernels.update(kept)
    best = min(seconds)
    return {
        "images": len(batch),
        "gpu_images_per_s": len(batch) / best,
        "slowest_images_per_s": len(batch) / max(seconds),
        "core_images_per_s": 1 / cpu,
        "over_core": cpu * len(batch) / best,
        "transfers_s": min(transfers),
        "transfers_gib_per_s": moved / 2**30 / min(transfers),
        "transfers_part": min(transfers) / best,
    }


def on_core(task: Callable[[], Any]) -> tuple[Any, float]:
    """What a task gives, its kernels compiled before, and its CPU time."""
    task()
    began = time.process_time()
    result = task()
    return result, time.process_time() - began


def timed(task: Callable[[], Any]) -> float:
    """Wall time of a task."""
    began = time.perf_counter()
    task()
    return time.perf_counter() - began


@click.command()
@click.option("--repeats", default=5, show_default=True)
@click.option("--device", "number", default=0, show_default=True, help="Its number.")
@harness.options
def main(settings: Settings, repeats: int, number: int) -> None:
    """Images per second of mask methods and segmenters on a GPU and on one CPU core."""
    names, problem = visible_devices()
    names = tuple(name for name in names if not name.startswith(FAKE_PREFIX))
    if number >= len(names):
        click.echo(f"no GPU to measure: {problem or 'none is visible'}. Nothing was measured.")
        return
    try:
        device: Any = open_device(names[number], number, np.dtype(np.uint16))
    except (DeviceLost, OutOfMemory) as error:
        click.echo(f"device {number} cannot be used: {error}. Nothing was measured.")
        return
    harness.print_facts((*harness.LIBRARIES, "cupy-cuda12x", "cupy-cuda13x"))
    click.echo(device.name)
    sizes = (20, 1) if settings.quick else (4000, 4)
    found = []
    for kind, batch, on_cpu in (("cells", cells(sizes[0]), 100), ("fields", fields(sizes[1]), 1)):
        methods = [m for m in METHODS if kind == "cells" or m not in CELLS_ONLY]
        rows = [compare(device, method, batch, repeats, on_cpu) for method in methods]
        if kind == "fields":
            rows.append(compare_labels(device, batch, repeats, on_cpu))
        for row in rows:
            found.append({"images_of": kind, **row, "device": device.name})
            click.echo(f"{kind}, {row['method']}: {row['gpu_images_per_s']:,.1f}/s", err=True)
    harness.print_table([{k: v for k, v in row.items() if k != "device"} for row in found])
    harness.write_csv(harness.results_path(settings, "gpu_segmentation"), found)


if __name__ == "__main__":
    main()
