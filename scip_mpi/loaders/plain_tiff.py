"""Pages of plain TIFF files, read in a small part of the time that a general reader takes.

Millions of small files spend most of their reading time in parsing. Nearly all of them are plain:
grey pages in strips, stored as they are, deflated, or packed by LZW or zstd. Those are read here;
of anything else `parse` returns None and `decode` False, and the general reader (tifffile) has the
say, errors included.
TIFF 6.0 specification, Adobe 1992; deflate: Adobe Photoshop TIFF Technical Notes 2002; BigTIFF.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import Int64Array, UInt8Array
from scip_mpi.loaders import lzw
from scip_mpi.loaders import plain_kernels as kernels

# More pages or strips than this are left to the general reader.
_MOST = 1 << 16
# Read(offset, out) -> whether the file has the bytes from there on that fill the array.
Read = Callable[[int, UInt8Array], bool]
_DTYPES = [np.dtype(kind) for kind in kernels.KINDS]
_FIRST_BYTE_OF_LZW = 0x80


@dataclass
class Tables:
    """Room for what `parse` finds, used again for file after file."""

    pages: Int64Array = field(default_factory=lambda: np.empty((64, kernels.COLUMNS), np.int64))
    strips: Int64Array = field(default_factory=lambda: np.empty((256, 2), np.int64))


@dataclass(frozen=True)
class Pages:
    """Where the pages of a file are and how they are stored.

    Attributes
    ----------
    pages : ndarray of int64, shape (n, columns)
        The columns are named in `scip_mpi.loaders.plain_kernels`.
    strips : ndarray of int64
        (first byte, bytes) of each strip.
    """

    pages: Int64Array
    strips: Int64Array

    def __len__(self) -> int:
        return len(self.pages)

    def shape(self, page: int) -> tuple[int, int]:
        """Rows and columns of a page."""
        height, width = self.pages[page, kernels.HEIGHT : kernels.WIDTH + 1].tolist()
        return height, width

    def dtype(self, page: int) -> np.dtype[Any]:
        """Native pixel type of a page."""
        return _DTYPES[self.pages[page, kernels.KIND]]

    def packed(self, page: int) -> bool:
        """Whether a page is compressed."""
        return bool(self.pages[page, kernels.COMPRESSION] != kernels.STORED)

    def alike(self, chosen: Sequence[int]) -> bool:
        """Whether pages have one size, pixel type and byte order."""
        first, last = kernels.HEIGHT, kernels.BIG + 1
        if len(chosen) == 1:
            return True
        rows = self.pages[list(chosen), first:last]
        return bool((rows == rows[0]).all())

    def decode(
        self,
        data: UInt8Array,
        chosen: Sequence[int],
        out: NDArray[Any],
        read: Read | None = None,
    ) -> bool:
        """Write pages that are alike to ``out``, shape (len(chosen), height, width), native.

        False if a page cannot be decoded. With ``read``, pixels are not among the data yet.
        """
        at = np.array(chosen, np.int64)
        flat = out.reshape(-1).view(np.uint8)
        rows = self.pages[at]
        if read is None:
            kernels.copy_stored(data, self.pages, self.strips, at, out.itemsize, flat)
        elif not self._read(data, rows.tolist(), flat, read):
            return False
        if rows[:, kernels.COMPRESSION].any() and not self._unpack(data, rows.tolist(), flat):
            return False
        if rows[0, kernels.BIG] and out.itemsize > 1:
            out.byteswap(inplace=True)
        differenced = rows[:, kernels.DIFFERENCED]
        if differenced.any():
            # In whole numbers of one size, sums are the same with or without a sign.
            planes = out.view(f"u{out.itemsize}")
            if differenced.all():
                kernels.undo_differences(planes)
            else:
                for k in np.flatnonzero(differenced):
                    kernels.undo_differences(planes[k : k + 1])
        return True

    def _read(self, data: UInt8Array, rows: list[list[int]], flat: UInt8Array, read: Read) -> bool:
        """Read stored pages into their places, packed ones to where they are among the data."""
        size = len(flat) // len(rows)
        for i, row in enumerate(rows):
            strips = self.strips[row[kernels.FIRST] :][: row[kernels.STRIPS]].tolist()
            if row[kernels.COMPRESSION] != kernels.STORED:
                if not all(read(offset, data[offset : offset + n]) for offset, n in strips):
                    return False
                continue
            strip_size = size // row[kernels.HEIGHT] * row[kernels.ROWS]
            lo, end = i * size, (i + 1) * size
            begin, start = strips[0][0], lo
            for k in range(1, len(strips) + 1):
                lo = min(lo + strip_size, end)
                # Strips that follow each other are read at once.
                if k == len(strips) or strips[k][0] != begin + lo - start:
                    if not read(begin, flat[start:lo]):
                        return False
                    if k < len(strips):
                        begin, start = strips[k][0], lo
        return True

    def _unpack(self, data: UInt8Array, rows: list[list[int]], flat: UInt8Array) -> bool:
        """Decode the compressed ones of pages into their places; False if one cannot be."""
        size = len(flat) // len(rows)
        view = memoryview(data)
        for i, row in enumerate(rows):
            if row[kernels.COMPRESSION] == kernels.STORED:
                continue
            decoder = _decoders()[row[kernels.COMPRESSION]]
            first, number = row[kernels.FIRST], row[kernels.STRIPS]
            strip_size = size // row[kernels.HEIGHT] * row[kernels.ROWS]
            lo, end = i * size, (i + 1) * size
            for offset, count in self.strips[first : first + number].tolist():
                hi = min(lo + strip_size, end)
                if row[kernels.COMPRESSION] == kernels.LZW and data[offset] != _FIRST_BYTE_OF_LZW:
                    return False
                try:
                    got = decoder(view[offset : offset + count], out=flat[lo:hi])
                except Exception:  # a broken strip, of which the general reader says what it is
                    return False
                if len(got) != hi - lo:
                    return False
                lo = hi
        return True


def _decoders() -> dict[int, Callable[..., Any]]:
    import imagecodecs

    # Deflate by libdeflate, which took 0.6 times zlib's time on strips of 3 to 8 kB, and sees
    # wrong checksums too.
    return {
        kernels.DEFLATE: imagecodecs.deflate_decode,
        kernels.LZW: lzw.unpack,
        kernels.ZSTD: imagecodecs.zstd_decode,
    }


def warm_up() -> None:
    """Have all kernels compiled, and cached, by a rank that others wait for."""
    data, tables, chosen = np.zeros(16, np.uint8), Tables(), np.zeros(1, np.int64)
    parse(data, tables)
    tables.pages[0] = 0
    kernels.copy_stored(data, tables.pages[:1], tables.strips, chosen, 1, data)
    lzw.decode(data, np.zeros(0, np.uint8))
    for size in (1, 2, 4):
        kernels.undo_differences(np.zeros((1, 1, 1), f"u{size}"))


def parse(data: UInt8Array, tables: Tables | None = None) -> Pages | None:
    """Pages of a TIFF file; None unless all are plain and their strips lie in the file.

    Parameters
    ----------
    data : ndarray of uint8
        The whole file, writable.
    tables : Tables, optional
        Where the pages are described until the next file is.
    """
    tables = Tables() if tables is None else tables
    while (n := kernels.parse(data, tables.pages, tables.strips)) == kernels.FULL:
        if len(tables.pages) >= _MOST or len(tables.strips) >= _MOST:
            return None
        tables.pages = np.empty((4 * len(tables.pages), kernels.COLUMNS), np.int64)
        tables.strips = np.empty((4 * len(tables.strips), 2), np.int64)
    return Pages(tables.pages[:n], tables.strips) if n else None
