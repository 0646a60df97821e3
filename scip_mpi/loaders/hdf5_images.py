"""An HDF5 file's images: what its datasets say of them, and their pixels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import Int64Array, offsets_of
from scip_mpi.loaders.contract import Window
from scip_mpi.loaders.gather import (
    ImageError,
    Pick,
    checked_window,
    pixel_type,
    refuse_beyond_memory,
)
from scip_mpi.loaders.shard_reader import open_hdf5
from scip_mpi.loaders.tiff_file import believable

# HDF5 decompresses a chunk as a whole; a broken header may promise one of any size.
LARGEST_CHUNK = 256 << 20


@dataclass(frozen=True)
class Address:
    """Where in a file the images are: paths of the datasets, and the axes if there is but one."""

    images: str
    shapes: str | None
    axes: str

    def text(self) -> str:
        """The same as text."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> Address:
        """An address from its text."""
        return cls(**json.loads(text))


class Images:
    """The images of an open file.

    Raises
    ------
    ImageError
        It has no such datasets, or they are not as the address says.
    """

    def __init__(self, file: Any, address: Address) -> None:
        self.pixels = _dataset(file, address.images)
        self.axes = address.axes
        self.shapes: Int64Array | None = None
        self.dtype = self.pixels.dtype
        if address.shapes is None:
            if self.pixels.ndim != len(self.axes):
                raise ImageError(
                    f"its dataset {address.images} has {self.pixels.ndim} dimensions, "
                    f"load.kwargs.axes {self.axes} names {len(self.axes)}"
                )
        else:
            self._read_shapes(_dataset(file, address.shapes), address)
        pixel_type(self.dtype)
        if np.prod(self.pixels.chunks or 0, dtype=float) * self.dtype.itemsize > LARGEST_CHUNK:
            raise ImageError(f"its dataset {address.images} has chunks of {self.pixels.chunks}")

    def _read_shapes(self, shapes: Any, address: Address) -> None:
        if shapes.ndim != 2 or shapes.shape[1] != 3 or shapes.dtype.kind not in "iu":
            raise ImageError(
                f"its dataset {address.shapes} has shape {shapes.shape} and type {shapes.dtype}, "
                "not a (C, H, W) of whole numbers for each image"
            )
        _refuse_unbelievable(shapes, shapes.size * shapes.dtype.itemsize)
        self.shapes = np.asarray(shapes[()], np.int64)
        n = len(self.shapes)
        if n and not 0 < self.shapes.min() <= self.shapes.max() < 1 << 20:
            raise ImageError(f"its dataset {address.shapes} has impossible shapes")
        self.offsets = offsets_of(self.shapes.prod(axis=1))
        expected = int(self.offsets[-1])
        if self.pixels.shape != (expected,):
            raise ImageError(
                f"its dataset {address.images} has shape {self.pixels.shape}; the {n} shapes in "
                f"{address.shapes} need ({expected},)"
            )

    def __len__(self) -> int:
        if self.shapes is not None:
            return len(self.shapes)
        return self._size("N")

    def _size(self, axis: str) -> int:
        return int(self.pixels.shape[self.axes.index(axis)]) if axis in self.axes else 1

    def shape(self, index: int) -> tuple[int, int, int]:
        """(C, H, W) of an image; `ImageError` if there is none with this index."""
        if not 0 <= index < len(self):
            raise ImageError(f"holds {len(self)} images, so none with index {index}")
        if self.shapes is None:
            return self._size("C"), self._size("Y"), self._size("X")
        c, h, w = self.shapes[index].tolist()
        return c, h, w

    def nbytes(self) -> Int64Array:
        """Bytes of each image's pixels."""
        if self.shapes is not None:
            return np.diff(self.offsets) * self.dtype.itemsize
        if len(self) > 1 << 31:
            raise ImageError(f"is broken: it is said to hold {len(self):,} images")
        each = min(
            self._size("C") * self._size("Y") * self._size("X") * self.dtype.itemsize, 1 << 62
        )
        return np.full(len(self), each, np.int64)

    def image(self, index: int, pick: Pick, window: Window | None) -> NDArray[Any]:
        """Chosen channels, and part, of an image, shape (C, H, W)."""
        c, h, w = self.shape(index)
        chosen = pick(c)
        r0, c0, r1, c1 = checked_window(window, h, w)
        nbytes = len(chosen) * (r1 - r0) * (c1 - c0) * self.dtype.itemsize
        refuse_beyond_memory(nbytes)
        _refuse_unbelievable(self.pixels, nbytes)
        if self.shapes is not None:
            lo, hi = self.offsets[index : index + 2].tolist()
            return self.pixels[lo:hi].reshape(c, h, w)[chosen, r0:r1, c0:c1]
        if not chosen:
            raise ImageError("no channels were asked for")
        lo, hi = min(chosen), max(chosen) + 1
        at = {"N": index, "C": slice(lo, hi), "Y": slice(r0, r1), "X": slice(c0, c1)}
        block = self.pixels[tuple(at[a] for a in self.axes)]
        order = self.axes.replace("N", "")
        if "C" not in order:
            return block.transpose([order.index(a) for a in "YX"])[np.newaxis]
        # Slices, as HDF5 is slow for lists of indices.
        return block.transpose([order.index(a) for a in "CYX"])[np.subtract(chosen, lo)]


def _dataset(file: Any, path: str) -> Any:
    """A dataset that holds numbers in this very file."""
    import h5py

    found = file.get(path) if path else None
    if not isinstance(found, h5py.Dataset):
        there: list[str] = []
        file.visititems(lambda name, item: there.append(name) if hasattr(item, "shape") else None)
        listed = ", ".join(there[:8]) or "none"
        raise ImageError(f"has no dataset {path}; it has {listed}")
    if h5py.check_vlen_dtype(found.dtype) is not None:
        # In a damaged file HDF5 looks for such arrays without end.
        raise ImageError(f"its dataset {path} has arrays of varying length: write them flat")
    if found.shape is None or found.external or found.is_virtual:
        raise ImageError(f"its dataset {path} holds no pixels of its own")
    return found


def _refuse_unbelievable(dataset: Any, nbytes: int) -> None:
    """Raise for more bytes than a dataset can hold."""
    stored = dataset.id.get_storage_size()
    if not believable(nbytes, stored, True):
        raise ImageError(
            f"is truncated or broken: {nbytes:,} bytes of {dataset.name} cannot be in the "
            f"{stored:,} that it takes"
        )


@contextmanager
def opened(path: str, address: str) -> Iterator[Images]:
    """The images of a file at an `Address`; whatever HDF5 complains of is an `ImageError`."""
    with open_hdf5(path, "HDF5 file") as file:
        yield Images(file, Address.of(address))
