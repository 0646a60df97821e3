"""A CUDA device: batches go up, through one kernel launch each, and their masks come down.

A batch is cut into pieces that take turns on two streams with pinned buffers, so that while one
piece is computed the next is on its way up and the last one on its way down.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import BoolArray, ImageBatch, Int64Array, UInt8Array
from scip_mpi.devices import DeviceLost, OutOfMemory
from scip_mpi.segmentation.chain import MaskSet
from scip_mpi.segmentation.gpu import METHODS
from scip_mpi.segmentation.gpu.recipes import (
    C_TYPES,
    FACTS,
    OPTIONS,
    RECIPES,
    Recipe,
    list_planes,
    settle,
    source,
)
from scip_mpi.segmentation.gpu.use import Made, part, pieces

# Pixels on their way at once, in bytes: large enough to fill a device, small enough to overlap.
PIECE = 16 << 20
# Most scratch of one launch, in bytes; with less, fewer blocks of threads run side by side.
MOST_SCRATCH = 2 << 30
# Blocks of threads for each multiprocessor, and threads of a block: more for large planes.
BLOCKS = 8
THREADS, MORE_THREADS, LARGE = 256, 512, 1 << 16
# A kernel counts a plane's pixels in 32 bits, and has two numbers for each.
MOST_PIXELS = 1 << 30
# cudaErrorMemoryAllocation and CUDA_ERROR_OUT_OF_MEMORY.
NO_MEMORY = 2


def load_cupy() -> Any:
    """CuPy, which only ranks that have a device import.

    Raises
    ------
    DeviceLost
        It cannot be loaded.
    """
    try:
        import cupy
    except (ImportError, OSError, RuntimeError) as error:
        raise DeviceLost(f"CuPy cannot be loaded: {error}") from error
    return cupy


class CudaDevice:
    """Device ``number`` of those visible to this process.

    Parameters
    ----------
    number : int
    dtype : numpy.dtype
        Type of the pixels that will come first: its kernels are compiled at once.
    cupy : module, optional
        CuPy, which is imported only here.

    Raises
    ------
    DeviceLost, OutOfMemory
        CuPy cannot be loaded, the kernels cannot be compiled, or the device not be used.
    """

    def __init__(self, number: int, dtype: np.dtype[Any], cupy: Any = None) -> None:
        self.cupy = load_cupy() if cupy is None else cupy
        self.kernels: dict[str, dict[str, Any]] = {}
        self.lanes: list[Lane] = []
        with self.plain_errors():
            self.cupy.cuda.Device(number).use()
            facts = self.cupy.cuda.runtime.getDeviceProperties(number)
            self.name = f"{facts['name'].decode()} (device {number})"
            self.most_blocks = BLOCKS * facts["multiProcessorCount"]
            self.compiled(dtype)
            self.lanes = [Lane(self.cupy), Lane(self.cupy)]

    def compiled(self, dtype: np.dtype[Any]) -> dict[str, Any]:
        """The kernels for a type of pixels, by method."""
        if dtype.name not in self.kernels:
            module = self.cupy.RawModule(code=source(dtype), options=OPTIONS)
            names = (*METHODS, "settle")
            self.kernels[dtype.name] = {name: module.get_function(name) for name in names}
        return self.kernels[dtype.name]

    def make(self, mask_set: MaskSet, method: str, batch: ImageBatch, enabled: BoolArray) -> Made:
        """Masks of a batch, see `use.Device`."""
        made = nothing(batch, enabled)
        if batch.pixels.dtype.name not in C_TYPES:
            made.left[:] = enabled
            return made
        large = batch.shapes[:, 1] * batch.shapes[:, 2] >= MOST_PIXELS
        made.left[large] = enabled[large]
        recipe = RECIPES[method](batch, **mask_set.kwargs)
        with self.plain_errors():
            kernels = self.compiled(batch.pixels.dtype)
            task = Task(kernels[method], recipe, kernels["settle"], settle(mask_set))
            for k, (lo, hi) in enumerate(pieces(batch, PIECE)):
                planes, places = list_planes(part(batch, lo, hi), (enabled & ~made.left)[lo:hi])
                lane = self.lanes[k % len(self.lanes)]
                # Its last piece has come down, or does now.
                lane.finish()
                if len(planes):
                    ends = slice(batch.offsets[lo], batch.offsets[hi])
                    home = Made(
                        made.masks[ends], made.left[lo:hi], made.regions[lo:hi], made.boxes[lo:hi]
                    )
                    lane.start(task, batch.pixels[ends], planes, places, self.most_blocks, home)
            for lane in self.lanes:
                lane.finish()
        return made

    def close(self) -> None:
        """Give the memory back, even of a device that answers no more."""
        self.lanes.clear()
        self.kernels.clear()
        with suppress(self.cupy.cuda.runtime.CUDARuntimeError):
            self.cupy.get_default_memory_pool().free_all_blocks()

    @contextmanager
    def plain_errors(self) -> Iterator[None]:
        """CuPy's errors as the two that matter: the batch is too large, or the device is gone."""
        cuda = self.cupy.cuda
        try:
            yield
        except cuda.memory.OutOfMemoryError as error:
            self._forget()
            raise OutOfMemory(str(error)) from error
        except (cuda.runtime.CUDARuntimeError, cuda.driver.CUDADriverError) as error:
            if error.status == NO_MEMORY:
                self._forget()
                raise OutOfMemory(str(error)) from error
            raise DeviceLost(str(error)) from error
        except cuda.compiler.CompileException as error:
            raise DeviceLost(f"the kernels cannot be compiled: {error}") from error
        except (ImportError, OSError, RuntimeError) as error:
            # A library of CUDA that CuPy loads when it is first used.
            raise DeviceLost(str(error)) from error

    def _forget(self) -> None:
        # Buffers grown for a batch that did not fit would take the room of a smaller one.
        for lane in self.lanes:
            lane.forget()
        self.cupy.get_default_memory_pool().free_all_blocks()


@dataclass(frozen=True)
class Task:
    """What is done with every piece of a batch.

    Attributes
    ----------
    kernel : cupy.RawKernel
        Makes the masks.
    recipe : Recipe
    settling : cupy.RawKernel
        Cleans them, counts regions and finds boxes.
    settle : Recipe
    """

    kernel: Any
    recipe: Recipe
    settling: Any
    settle: Recipe


class Lane:
    """A stream with its buffers: one piece of a batch at a time is on its way in it."""

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.on_device: dict[str, Any] = {}
        self.pinned: dict[str, UInt8Array] = {}
        self.waiting: tuple[Made, Int64Array] | None = None

    def start(
        self,
        task: Task,
        pixels: NDArray[Any],
        planes: Int64Array,
        places: Int64Array,
        most_blocks: int,
        home: Made,
    ) -> None:
        """Send a piece on its way; `finish` brings what was made home.

        Parameters
        ----------
        task : Task
        pixels : ndarray
            Of the piece.
        planes : ndarray of int64, shape (p, 4)
            As of `recipes.list_planes`, which has ``places`` too.
        places : ndarray of int64, shape (p,)
        most_blocks : int
            Of threads, side by side.
        home : Made
            Views of what the piece is of the whole.
        """
        recipe, settle, count = task.recipe, task.settle, len(planes)
        largest = int((planes[:, 1] * planes[:, 2]).max())
        needed = max(recipe.scratch(largest), settle.scratch(largest))
        scratch_bytes = -(-needed // 64) * 64
        tables = [planes.reshape(-1), recipe.numbers, recipe.starts, recipe.weights]
        tables += [settle.numbers, settle.starts]
        words = np.concatenate([t.view(np.int64) for t in tables])
        ends = 8 * np.cumsum([t.size for t in tables])
        size = home.masks.size
        with self.stream:
            given = self._upload("pixels", pixels)
            table = self._upload("tables", words)
            numbers, starts, weights, limits, halves = (table[int(end) :] for end in ends[:-1])
            masks, left = self._room("masks", size), self._room("left", count)
            facts = self._room("facts", 8 * FACTS * count)
            # Last, since it can do with less.
            wanted = min(count, most_blocks, max(1, MOST_SCRATCH // scratch_bytes))
            scratch, blocks = self._scratch(wanted, scratch_bytes)
            shape = ((blocks,), (THREADS if largest <= LARGE else MORE_THREADS,))
            sizes = (scratch, np.int64(scratch_bytes), np.int64(largest))
            first = (given, table, np.int64(count))
            masks.data.memset_async(0, size, self.stream)
            task.kernel(*shape, (*first, numbers, starts, weights, masks, left, *sizes))
            task.settling(*shape, (*first, limits, halves, weights, masks, facts, *sizes))
            self._download("masks", size)
            self._download("left", count)
            self._download("facts", 8 * FACTS * count)
        self.waiting = (home, places)

    def finish(self) -> None:
        """Wait for the piece on its way, if there is one, and put its masks where they belong."""
        if self.waiting is None:
            return
        home, places = self.waiting
        self.waiting = None
        self.stream.synchronize()
        home.masks[:] = self.pinned["down masks"][: home.masks.size]
        image, channel = np.divmod(places, home.left.shape[1])
        home.left[image, channel] = self.pinned["down left"][: len(places)] != 0
        facts = self.pinned["down facts"].view(np.int64)[: FACTS * len(places)]
        put_facts(facts.reshape(-1, FACTS), image, channel, home)

    def forget(self) -> None:
        """Drop all buffers, and the piece on its way."""
        if self.waiting is not None:
            self.waiting = None
            self.stream.synchronize()
        self.on_device.clear()
        self.pinned.clear()

    def _upload(self, name: str, array: NDArray[Any]) -> Any:
        size = array.nbytes
        away = self._pinned("up " + name, size)
        away[:size] = array.view(np.uint8)
        room = self._room(name, size)
        room.data.copy_from_host_async(away.ctypes.data, size, self.stream)
        return room

    def _download(self, name: str, size: int) -> None:
        home = self._pinned("down " + name, size)
        self.on_device[name].data.copy_to_host_async(home.ctypes.data, size, self.stream)

    def _room(self, name: str, size: int) -> Any:
        held = self.on_device.get(name)
        if held is None or held.size < size:
            # What is there is let go first: both may not fit.
            self.on_device.pop(name, None)
            held = None
            self.on_device[name] = self.cupy.empty(max(size, 1), np.uint8)
        return self.on_device[name]

    def _scratch(self, blocks: int, size: int) -> tuple[Any, int]:
        """Scratch for blocks of threads: for as many of those asked for as there is room."""
        while True:
            try:
                return self._room("scratch", blocks * size), blocks
            except self.cupy.cuda.memory.OutOfMemoryError:
                if blocks == 1:
                    raise
                blocks //= 2

    def _pinned(self, name: str, size: int) -> UInt8Array:
        held = self.pinned.get(name)
        if held is None or held.size < size:
            self.pinned.pop(name, None)
            # A multiple of what is kept there, so that it can be looked at as numbers.
            room = -(-max(size, 1) // 8) * 8
            memory = self.cupy.cuda.alloc_pinned_memory(room)
            self.pinned[name] = np.frombuffer(memory, np.uint8, room)
        return self.pinned[name]


def nothing(batch: ImageBatch, enabled: BoolArray) -> Made:
    """Empty masks."""
    return Made(
        masks=np.zeros(batch.pixels.size, np.uint8),
        left=np.zeros(enabled.shape, bool),
        regions=np.zeros(enabled.shape, np.int64),
        boxes=np.full((len(batch), 4), -1, np.int64),
    )


def put_facts(facts: Int64Array, image: Int64Array, channel: Int64Array, home: Made) -> None:
    """Regions of planes where they belong, and the boxes of an image's planes united."""
    home.regions[image, channel] = facts[:, 0]
    some = facts[:, 3] >= 0
    image, facts = image[some], facts[some]
    first = np.full((len(home.boxes), 2), np.iinfo(np.int64).max)
    np.minimum.at(first, image, facts[:, 1:3])
    np.maximum.at(home.boxes[:, 2:], image, facts[:, 3:])
    home.boxes[image, :2] = first[image]
