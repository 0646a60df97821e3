"""A CUDA device: batches go up, through one kernel launch each, and their masks come down.

A batch is cut into pieces that take turns on two streams with pinned buffers, so that while one
piece is computed the next is on its way up and the last one on its way down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import BoolArray, ImageBatch, Int64Array, UInt8Array
from scip_mpi.devices import DeviceLost, OutOfMemory
from scip_mpi.segmentation.gpu import METHODS
from scip_mpi.segmentation.gpu.recipes import (
    C_TYPES,
    OPTIONS,
    RECIPES,
    Recipe,
    list_planes,
    source,
)
from scip_mpi.segmentation.gpu.use import part, pieces

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

    def compiled(self, dtype: np.dtype[Any]) -> Mapping[str, Any]:
        """The kernels for a type of pixels, by method."""
        if dtype.name not in self.kernels:
            module = self.cupy.RawModule(code=source(dtype), options=OPTIONS)
            self.kernels[dtype.name] = {name: module.get_function(name) for name in METHODS}
        return self.kernels[dtype.name]

    def masks(
        self, method: str, batch: ImageBatch, enabled: BoolArray, settings: Mapping[str, Any]
    ) -> tuple[UInt8Array, BoolArray]:
        """Masks of a batch, and the channels left to the CPU; see `use.Device`."""
        out = np.zeros(batch.pixels.size, np.uint8)
        left = np.zeros(enabled.shape, bool)
        if batch.pixels.dtype.name not in C_TYPES:
            return out, enabled.copy()
        large = batch.shapes[:, 1] * batch.shapes[:, 2] >= MOST_PIXELS
        left[large] = enabled[large]
        recipe = RECIPES[method](batch, **settings)
        with self.plain_errors():
            kernel = self.compiled(batch.pixels.dtype)[method]
            for k, (lo, hi) in enumerate(pieces(batch, PIECE)):
                planes, places = list_planes(part(batch, lo, hi), (enabled & ~left)[lo:hi])
                lane = self.lanes[k % len(self.lanes)]
                # Its last piece has come down, or does now.
                lane.finish()
                if len(planes):
                    ends = slice(batch.offsets[lo], batch.offsets[hi])
                    lane.start(
                        kernel, recipe, batch.pixels[ends], planes, self.most_blocks,
                        out[ends], left[lo:hi].reshape(-1), places,
                    )  # fmt: skip
            for lane in self.lanes:
                lane.finish()
        return out, left

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


class Lane:
    """A stream with its buffers: one piece of a batch at a time is on its way in it."""

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.on_device: dict[str, Any] = {}
        self.pinned: dict[str, UInt8Array] = {}
        self.waiting: tuple[UInt8Array, NDArray[np.bool_], Int64Array] | None = None

    def start(
        self,
        kernel: Any,
        recipe: Recipe,
        pixels: NDArray[Any],
        planes: Int64Array,
        most_blocks: int,
        out: UInt8Array,
        left: NDArray[np.bool_],
        places: Int64Array,
    ) -> None:
        """Send a piece on its way; `finish` brings it home into ``out`` and ``left``.

        Parameters
        ----------
        kernel : cupy.RawKernel
        recipe : Recipe
        pixels : ndarray
            Of the piece.
        planes : ndarray of int64, shape (p, 4)
            As of `recipes.list_planes`, which has ``places`` too.
        most_blocks : int
            Of threads, side by side.
        out : ndarray of uint8
            Masks of the piece.
        left : ndarray of bool
            Of all channels of the piece, flat: True for those left to the CPU.
        places : ndarray of int64, shape (p,)
            Where the planes are in ``left``.
        """
        largest = int((planes[:, 1] * planes[:, 2]).max())
        scratch_bytes = -(-recipe.scratch(largest) // 64) * 64
        tables = [planes.reshape(-1), recipe.starts, recipe.numbers, recipe.weights]
        words = np.concatenate([t.view(np.int64) for t in tables])
        ends = np.cumsum([t.size for t in tables])
        with self.stream:
            wanted = min(len(planes), most_blocks, max(1, MOST_SCRATCH // scratch_bytes))
            given = self._upload("pixels", pixels)
            table = self._upload("tables", words)
            masks, strange = self._room("masks", out.size), self._room("left", len(planes))
            # Last, since it can do with less.
            scratch, blocks = self._scratch(wanted, scratch_bytes)
            masks.data.memset_async(0, out.size, self.stream)
            arguments = (
                given, table, np.int64(len(planes)), table[8 * ends[1] :], table[8 * ends[0] :],
                table[8 * ends[2] :], masks, strange, scratch, np.int64(scratch_bytes),
                np.int64(largest),
            )  # fmt: skip
            kernel((blocks,), (THREADS if largest <= LARGE else MORE_THREADS,), arguments)
            for name, array, size in (("masks", masks, out.size), ("left", strange, len(planes))):
                home = self._pinned("down " + name, size)
                array.data.copy_to_host_async(home.ctypes.data, size, self.stream)
        self.waiting = (out, left, places)

    def finish(self) -> None:
        """Wait for the piece on its way, if there is one, and put its masks where they belong."""
        if self.waiting is None:
            return
        out, left, places = self.waiting
        self.waiting = None
        self.stream.synchronize()
        out[:] = self.pinned["down masks"][: out.size]
        left[places] = self.pinned["down left"][: len(places)] != 0

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
            room = max(size, 1)
            memory = self.cupy.cuda.alloc_pinned_memory(room)
            self.pinned[name] = np.frombuffer(memory, np.uint8, room)
        return self.pinned[name]
