"""How rows reach the table: straight to their place, from every rank.

`Writer.put` takes blocks of rows, as often as needed and in any order, and after `Writer.finalize`
they are on the disk. Where they go is the sink's business: parallel HDF5, MPI's files, or plain
calls of the operating system.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scip_mpi import disk
from scip_mpi.batches import FloatArray


@dataclass(frozen=True)
class DatasetLayout:
    """Where a contiguous dataset lies: byte offset in the file (-1 if empty), type and shape."""

    name: str
    offset: int
    dtype: str
    shape: tuple[int, ...]

    def check(self, row: int, block: NDArray[Any]) -> None:
        """Refuse a block that does not fit: it would be written over something else.

        Raises
        ------
        ValueError
            Wrong type or width, or rows beyond the last.
        """
        fits = block.dtype == np.dtype(self.dtype) and block.shape[1:] == self.shape[1:]
        if not (fits and row >= 0 and row + len(block) <= self.shape[0]):
            raise ValueError(
                f"rows {row} to {row + len(block)}, {block.dtype} {block.shape}, do not fit into "
                f"{self.name}, {self.dtype} {self.shape}"
            )

    def place(self, row: int) -> int:
        """Byte offset of a row."""
        size = np.dtype(self.dtype).itemsize * int(np.prod(self.shape[1:], dtype=np.int64))
        return self.offset + row * size


class Handle(Protocol):
    """A file that several ranks write at offsets of their own."""

    def write_at(self, offset: int, buffer: Any) -> None:
        """Write all of the buffer at a byte offset."""

    def sync(self) -> None:
        """Bring the writes to the disk."""

    def close(self) -> None:
        """Close the file."""


class Sink(Protocol):
    """Where a writer's rows go: three kinds, of which the file does not tell."""

    def write(self, layout: DatasetLayout, row: int, block: NDArray[Any]) -> None:
        """Write rows of a dataset from ``row`` on."""

    def finalize(self) -> None:
        """Bring all rows to the disk and let go. Collective where ranks share the file."""


class Writer:
    """A rank's hand on the table: put rows, in any order; finalize."""

    def __init__(self, layout: Mapping[str, DatasetLayout], sink: Sink) -> None:
        self.layout = layout
        self.sink = sink

    def put(self, name: str, row: int, block: NDArray[Any]) -> None:
        """Write rows of a dataset from ``row`` on.

        Raises
        ------
        ValueError
            The block does not fit into the dataset.
        """
        layout = self.layout[name]
        layout.check(row, block)
        if block.size:
            self.sink.write(layout, row, np.ascontiguousarray(block))

    def finalize(self) -> None:
        """Bring all rows to the disk and let go. Collective where ranks share the file."""
        self.sink.finalize()


class PosixSink:
    """The operating system's own calls: for one rank, or ranks that must not share a handle."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_WRONLY)

    def write(self, layout: DatasetLayout, row: int, block: NDArray[Any]) -> None:
        """Write at the rows' offset, all of it."""
        disk.write_at(self.file, block.reshape(-1).view(np.uint8), layout.place(row))

    def finalize(self) -> None:
        """Bring all rows to the disk."""
        os.fsync(self.file)
        os.close(self.file)


class SharedFileSink:
    """A file that the ranks have opened together (MPI's own files)."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle

    def write(self, layout: DatasetLayout, row: int, block: NDArray[Any]) -> None:
        """Write at the rows' offset."""
        self.handle.write_at(layout.place(row), block.reshape(-1).view(np.uint8))

    def finalize(self) -> None:
        """Bring all rows to the disk; collective."""
        self.handle.sync()
        self.handle.close()


class Hdf5Sink:
    """Parallel HDF5, each rank by itself, so that ranks without rows hang nobody."""

    def __init__(self, path: Path, communicator: Any) -> None:
        import h5py

        self.file = h5py.File(path, "r+", driver="mpio", comm=communicator)

    def write(self, layout: DatasetLayout, row: int, block: NDArray[Any]) -> None:
        """Write rows of the dataset."""
        self.file[layout.name][row : row + len(block)] = block

    def finalize(self) -> None:
        """Bring all rows to the disk; collective."""
        self.file.flush()
        self.file.close()


def to_table_floats(block: FloatArray) -> tuple[NDArray[np.float32], int]:
    """The one rounding of X: float32, one pattern of NaN, no negative zero.

    Returns
    -------
    ndarray of float32, int
        The values, and how many left float32's range (they are infinite).
    """
    with np.errstate(over="ignore", under="ignore"):
        rounded = block.astype(np.float32)
    overflows = int(np.count_nonzero(np.isinf(rounded) & np.isfinite(block)))
    return canonical(rounded), overflows


def canonical(values: NDArray[Any]) -> NDArray[Any]:
    """Floating-point values with one pattern of NaN and no negative zero; others as they are."""
    if values.dtype.kind != "f":
        return values
    out = values + values.dtype.type(0)  # -0.0 + 0.0 is 0.0
    out[np.isnan(out)] = np.nan
    return out
