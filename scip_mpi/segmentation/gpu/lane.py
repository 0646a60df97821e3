"""A stream of a CUDA device, its buffers, and the pieces of batches that go through them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import Int64Array, UInt8Array, offsets_of
from scip_mpi.segmentation.gpu.recipes import FACTS, MEASURED, NO_NUMBERS, Recipe
from scip_mpi.segmentation.gpu.use import Made

# Most scratch of one launch, in bytes; with less, fewer blocks of threads run side by side.
MOST_SCRATCH = 2 << 30
# Threads of a block: more for planes of many pixels.
THREADS, MORE_THREADS, LARGE = 256, 512, 1 << 16


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
    measuring : cupy.RawKernel
        Measures them, if there is a recipe for it.
    measure : Recipe, optional
    """

    kernel: Any
    recipe: Recipe
    settling: Any
    settle: Recipe
    measuring: Any
    measure: Recipe | None


@dataclass(frozen=True)
class Piece:
    """Some images of a batch.

    Attributes
    ----------
    pixels : ndarray
    planes : ndarray of int64, shape (p, 5)
        Those that are enabled, as of `recipes.list_planes`, which has ``places`` too.
    places : ndarray of int64, shape (p,)
    every : ndarray of int64, shape (q, 5)
        All planes, and ``everywhere`` their places.
    everywhere : ndarray of int64, shape (q,)
    home : Made
        Views of what the piece is of the whole.
    """

    pixels: NDArray[Any]
    planes: Int64Array
    places: Int64Array
    every: Int64Array
    everywhere: Int64Array
    home: Made


class Lane:
    """A stream with its buffers: one piece of a batch at a time is on its way in it."""

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.on_device: dict[str, Any] = {}
        self.pinned: dict[str, UInt8Array] = {}
        self.waiting: Piece | None = None

    def start(self, task: Task, piece: Piece, most_blocks: int) -> None:
        """Send a piece on its way; `finish` brings what was made home.

        Parameters
        ----------
        task : Task
        piece : Piece
        most_blocks : int
            Of threads, side by side.
        """
        recipe, settle, measure = task.recipe, task.settle, task.measure
        planes, every = piece.planes, piece.every
        largest = int((every[:, 1] * every[:, 2]).max())
        recipes = [own for own in (recipe, settle, measure) if own is not None]
        scratch_bytes = -(-max(own.scratch(largest) for own in recipes) // 64) * 64
        size, packed = piece.pixels.size, piece.home.bits.size
        with self.stream:
            given = self.upload("pixels", piece.pixels)
            table, numbers, starts, weights, limits, halves, all_planes, asked = self.upload_tables(
                planes.reshape(-1), recipe.numbers, recipe.starts, recipe.weights,
                settle.numbers, settle.starts, every.reshape(-1),
                NO_NUMBERS if measure is None else measure.numbers,
            )  # fmt: skip
            masks, bits = self.room("masks", size), self.room("bits", packed)
            left = self.room("left", len(planes))
            facts = self.room("facts", 8 * FACTS * len(planes))
            measured = self.room("measured", 0 if measure is None else 8 * MEASURED * len(every))
            # Last, since it can do with less.
            wanted = min(len(every), most_blocks, max(1, MOST_SCRATCH // scratch_bytes))
            scratch, blocks = self._scratch(wanted, scratch_bytes)
            shape = ((blocks,), (threads_for(largest),))
            sizes = (scratch, np.int64(scratch_bytes), np.int64(largest))
            first = (given, table, np.int64(len(planes)))
            masks.data.memset_async(0, size, self.stream)
            bits.data.memset_async(0, packed, self.stream)
            if len(planes):
                task.kernel(*shape, (*first, numbers, starts, weights, masks, left, *sizes))
                task.settling(*shape, (*first, limits, halves, bits, masks, facts, *sizes))
                self.download("left", len(planes))
                self.download("facts", 8 * FACTS * len(planes))
            if measure is not None:
                first = (given, all_planes, np.int64(len(every)))
                task.measuring(*shape, (*first, asked, starts, weights, masks, measured, *sizes))
                self.download("measured", 8 * MEASURED * len(every))
            self.download("bits", packed)
        self.waiting = piece

    def finish(self) -> None:
        """Wait for the piece on its way, if there is one, and put its masks where they belong."""
        if self.waiting is None:
            return
        piece, self.waiting = self.waiting, None
        home, count = piece.home, len(piece.planes)
        self.stream.synchronize()
        home.bits[:] = self.home("bits", np.uint8, home.bits.size)
        if home.measured is not None:
            table = self.home("measured", np.float64, MEASURED * len(piece.every))
            home.measured.reshape(-1, MEASURED)[piece.everywhere] = table.reshape(-1, MEASURED)
        if count:
            image, channel = np.divmod(piece.places, home.left.shape[1])
            home.left[image, channel] = self.home("left", np.uint8, count) != 0
            facts = self.home("facts", np.int64, FACTS * count)
            put_facts(facts.reshape(-1, FACTS), image, channel, home)

    def forget(self) -> None:
        """Drop all buffers, and the piece on its way."""
        self.waiting = None
        # Copies may be under way to and from them.
        self.stream.synchronize()
        self.on_device.clear()
        self.pinned.clear()

    def upload_tables(self, *tables: NDArray[Any]) -> list[Any]:
        """Send several arrays of numbers of 64 bits at once; what they are on the device."""
        whole = self.upload("tables", np.concatenate([t.view(np.int64) for t in tables]))
        starts = 8 * offsets_of(np.array([t.size for t in tables]))[:-1]
        return [whole[int(start) :] for start in starts]

    def upload(self, name: str, array: NDArray[Any]) -> Any:
        """Send an array to the device, where it is in a buffer of that name."""
        size = array.nbytes
        away = self._pinned("up " + name, size)
        away[:size] = array.view(np.uint8)
        room = self.room(name, size)
        room.data.copy_from_host_async(away.ctypes.data, size, self.stream)
        return room

    def download(self, name: str, size: int) -> None:
        """Bring so many bytes of a buffer home: `home` has them once the stream was waited for."""
        home = self._pinned("down " + name, size)
        self.on_device[name].data.copy_to_host_async(home.ctypes.data, size, self.stream)

    def home(self, name: str, dtype: type, count: int) -> NDArray[Any]:
        """What was brought home of a buffer, until the next time."""
        held: NDArray[Any] = self.pinned["down " + name].view(dtype)[:count]
        return held

    def room(self, name: str, size: int) -> Any:
        """A buffer on the device, of at least so many bytes."""
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
                return self.room("scratch", blocks * size), blocks
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


def threads_for(pixels: int) -> int:
    """Threads of a block for planes of up to so many pixels."""
    return THREADS if pixels <= LARGE else MORE_THREADS


def put_facts(facts: Int64Array, image: Int64Array, channel: Int64Array, home: Made) -> None:
    """Regions of planes where they belong, and the boxes of an image's planes united."""
    home.regions[image, channel] = facts[:, 0]
    some = facts[:, 3] >= 0
    image, facts = image[some], facts[some]
    first = np.full((len(home.boxes), 2), np.iinfo(np.int64).max)
    np.minimum.at(first, image, facts[:, 1:3])
    np.maximum.at(home.boxes[:, 2:], image, facts[:, 3:])
    home.boxes[image, :2] = first[image]
