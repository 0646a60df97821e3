"""A CUDA device: batches go up, through one kernel launch each, and their masks come down.

A batch is cut into pieces that take turns on two streams with pinned buffers, so that while one
piece is computed the next is on its way up and the last one on its way down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from scip_mpi.batches import BoolArray, ImageBatch
from scip_mpi.devices import DeviceLost, OutOfMemory
from scip_mpi.segmentation.bits import bit_offsets
from scip_mpi.segmentation.chain import MaskSet
from scip_mpi.segmentation.gpu import METHODS
from scip_mpi.segmentation.gpu.fields import STEPS, label_fields, unlabelled
from scip_mpi.segmentation.gpu.lane import LARGE, Lane, Piece, Task
from scip_mpi.segmentation.gpu.recipes import (
    C_TYPES,
    OPTIONS,
    RECIPES,
    Wanted,
    list_planes,
    measure,
    settle,
    source,
)
from scip_mpi.segmentation.gpu.use import Labelled, Made, nothing, part, pieces

# Pixels on their way at once, in bytes: large enough to fill a device, small enough to overlap. Of
# images with large planes, each of which is one block's, more are needed to fill it.
PIECE, LARGE_PIECE = 16 << 20, 256 << 20
# Blocks of threads for each multiprocessor.
BLOCKS = 8
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
            names = (*METHODS, "settle", "measure", *STEPS)
            self.kernels[dtype.name] = {name: module.get_function(name) for name in names}
        return self.kernels[dtype.name]

    def make(
        self,
        mask_set: MaskSet,
        method: str,
        batch: ImageBatch,
        enabled: BoolArray,
        wanted: Wanted | None,
    ) -> Made:
        """Masks of a batch, see `use.Device`."""
        made = nothing(batch, wanted is not None)
        if batch.pixels.dtype.name not in C_TYPES:
            made.left[:] = enabled
            return made
        recipe = RECIPES[method](batch, **mask_set.kwargs)
        sizes = batch.shapes[:, 1] * batch.shapes[:, 2]
        made.left[:] = enabled & (sizes > recipe.most_pixels)[:, np.newaxis]
        with self.plain_errors():
            kernels = self.compiled(batch.pixels.dtype)
            task = Task(
                kernels[method],
                recipe,
                kernels["settle"],
                settle(mask_set),
                kernels["measure"],
                None if wanted is None else measure(wanted),
            )
            most = LARGE_PIECE if sizes.max() > LARGE else PIECE
            for k, (lo, hi) in enumerate(pieces(batch, most)):
                lane = self.lanes[k % len(self.lanes)]
                # Its last piece has come down, or does now.
                lane.finish()
                piece = piece_of(batch, lo, hi, enabled, made)
                if len(piece.every):
                    lane.start(task, piece, self.most_blocks)
            for lane in self.lanes:
                lane.finish()
        return made

    def label(self, batch: ImageBatch, settings: Mapping[str, Any]) -> Labelled:
        """Labels of a batch of fields, see `use.Device`."""
        with self.plain_errors():
            if batch.pixels.dtype.name not in C_TYPES:
                return unlabelled(batch)
            kernels = self.compiled(batch.pixels.dtype)
            return label_fields(self.lanes[0], kernels, self.most_blocks, batch, **settings)

    def close(self) -> None:
        """Give the memory back, even of a device that answers no more."""
        self.lanes.clear()
        self.kernels.clear()
        with suppress(self.cupy.cuda.runtime.CUDARuntimeError):
            self.cupy.get_default_memory_pool().free_all_blocks()
            # Of the host's memory, which the second pass counts on.
            self.cupy.get_default_pinned_memory_pool().free_all_blocks()

    @contextmanager
    def plain_errors(self) -> Iterator[None]:
        """CuPy's errors as the two that matter: the batch is too large, or the device is gone."""
        cuda = self.cupy.cuda
        try:
            yield
        except cuda.memory.OutOfMemoryError as error:
            raise self._out_of_memory(error) from error
        except (cuda.runtime.CUDARuntimeError, cuda.driver.CUDADriverError) as error:
            if error.status == NO_MEMORY:
                raise self._out_of_memory(error) from error
            raise DeviceLost(str(error)) from error
        except cuda.compiler.CompileException as error:
            raise DeviceLost(f"the kernels cannot be compiled: {error}") from error
        except (ImportError, OSError, RuntimeError) as error:
            # A library of CUDA that CuPy loads when it is first used.
            raise DeviceLost(str(error)) from error

    def _out_of_memory(self, error: Exception) -> OutOfMemory | DeviceLost:
        # Buffers grown for a batch that did not fit would take the room of a smaller one.
        try:
            for lane in self.lanes:
                lane.forget()
            self.cupy.get_default_memory_pool().free_all_blocks()
        except self.cupy.cuda.runtime.CUDARuntimeError as worse:
            return DeviceLost(str(worse))
        return OutOfMemory(str(error))


def piece_of(batch: ImageBatch, lo: int, hi: int, enabled: BoolArray, made: Made) -> Piece:
    """Images ``lo`` to ``hi``, and where in what is made of the batch they belong."""
    own, offsets = part(batch, lo, hi), bit_offsets(batch.shapes)
    there = enabled[lo:hi] & ~made.left[lo:hi]
    sound = np.repeat(~made.left[lo:hi].any(axis=1, keepdims=True), batch.channels, axis=1)
    return Piece(
        own.pixels,
        *list_planes(own, there),
        *list_planes(own, sound),
        Made(
            made.bits[offsets[lo] : offsets[hi]],
            made.regions[lo:hi],
            made.boxes[lo:hi],
            None if made.measured is None else made.measured[lo:hi],
            left=made.left[lo:hi],
        ),
    )
