"""Compiled: the directories of plain TIFF files, and their pixels where they are stored as such.

A file is a buffer of bytes that may hold anything: no byte is taken before it is known to be there.
"""

from __future__ import annotations

import numpy as np
from numba import njit

# Columns of the table of pages.
DIRECTORY, HEIGHT, WIDTH, KIND, BIG, COMPRESSION, DIFFERENCED, ROWS, FIRST, STRIPS = range(10)
COLUMNS = 10
# Codes of pixel types, and the same as (SampleFormat, BitsPerSample).
KINDS = ("u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8")
_FORMATS = np.array([1, 1, 1, 2, 2, 2, 3, 3])
_BITS = np.array([8, 16, 32, 8, 16, 32, 32, 64])
STORED, DEFLATE, LZW, ZSTD = range(4)
# What `parse` returns for the number of pages when the tables are too small.
FULL = -1
# Larger dimensions, or more tags of a page, are not of plain files.
_LARGEST, _MOST_TAGS = 1 << 28, 1 << 12


@njit(cache=True, nogil=True, error_model="numpy")
def unsigned(data, at, width, big):
    """The integer of so many bytes; negative if it does not fit 63 bits."""
    value = np.int64(0)
    for k in range(width):
        shift = 8 * (width - 1 - k) if big else 8 * k
        value |= np.int64(data[at + k]) << shift
    return value


@njit(cache=True, nogil=True, error_model="numpy")
def parse(data, pages, strips):
    """Fill the tables of pages and strips from a file's bytes.

    Returns
    -------
    int
        Number of pages; 0 unless all are plain and lie in the file, `FULL` if they do not fit.
    """
    size = data.size
    if size < 16 or data[0] != data[1] or not (data[0] == 0x49 or data[0] == 0x4D):
        return 0
    big = data[0] == 0x4D
    version = unsigned(data, 2, 2, big)
    if version == 42:
        wide, head, entry = 4, 2, 12
        at = unsigned(data, 4, 4, big)
    elif version == 43 and unsigned(data, 4, 2, big) == 8 and unsigned(data, 6, 2, big) == 0:
        wide, head, entry = 8, 8, 20
        at = unsigned(data, 8, 8, big)
    else:
        return 0
    n = 0
    m = 0
    while at != 0:
        if at < 0 or at > size - head:
            return 0
        for k in range(n):
            if pages[k, DIRECTORY] == at:
                return 0
        if n == pages.shape[0]:
            return FULL
        tags = unsigned(data, at, head, big)
        start = at + head
        if tags < 0 or tags > _MOST_TAGS or start + tags * entry + wide > size:
            return 0
        height = width = np.int64(0)
        bits = compression = samples = predictor = sample_format = fill = np.int64(1)
        rows = np.int64(2**32 - 1)
        offsets_at = offsets_unit = offsets = np.int64(0)
        counts_at = counts_unit = counts = np.int64(0)
        for k in range(tags):
            e = start + k * entry
            tag = unsigned(data, e, 2, big)
            # Tiles, volumes and old JPEG tables are not plain.
            if 322 <= tag <= 325 or tag == 32997 or tag == 32998 or tag == 512 or tag == 347:
                return 0
            if not (256 <= tag <= 259 or tag == 266 or tag == 273 or 277 <= tag <= 279
                    or tag == 317 or tag == 339):  # fmt: skip
                continue
            kind = unsigned(data, e + 2, 2, big)
            count = unsigned(data, e + 4, wide, big)
            unit = 2 if kind == 3 else 4 if kind == 4 else 8 if kind == 16 and wide == 8 else 0
            if unit == 0 or count <= 0 or count > size:
                return 0
            where = e + 4 + wide
            if count * unit > wide:
                where = unsigned(data, where, wide, big)
                if where < 0 or where > size - count * unit:
                    return 0
            if tag == 273:
                offsets_at, offsets_unit, offsets = where, unit, count
                continue
            if tag == 279:
                counts_at, counts_unit, counts = where, unit, count
                continue
            if count != 1:
                return 0
            value = unsigned(data, where, unit, big)
            if tag == 256:
                width = value
            elif tag == 257:
                height = value
            elif tag == 258:
                bits = value
            elif tag == 259:
                compression = value
            elif tag == 266:
                fill = value
            elif tag == 277:
                samples = value
            elif tag == 278:
                rows = value
            elif tag == 317:
                predictor = value
            else:
                sample_format = value
        code = -1
        for k in range(_FORMATS.size):
            if _FORMATS[k] == sample_format and _BITS[k] == bits:
                code = k
        if compression == 1:
            packing = STORED
        elif compression == 8 or compression == 32946:
            packing = DEFLATE
        elif compression == 5:
            packing = LZW
        elif compression == 50000 or compression == 34926:
            packing = ZSTD
        else:
            return 0
        if code < 0 or samples != 1 or fill != 1 or rows <= 0:
            return 0
        if not (0 < height < _LARGEST and 0 < width < _LARGEST):
            return 0
        differenced = predictor == 2
        if predictor != 1 and not (differenced and packing != STORED and sample_format != 3):
            return 0
        rows = min(rows, height)
        number = (height + rows - 1) // rows
        if offsets != number or counts != number:
            return 0
        if m + number > strips.shape[0]:
            return FULL
        for k in range(number):
            offset = unsigned(data, offsets_at + k * offsets_unit, offsets_unit, big)
            count = unsigned(data, counts_at + k * counts_unit, counts_unit, big)
            if offset <= 0 or count <= 0 or offset > size or count > size - offset:
                return 0
            needed = min(rows, height - k * rows) * width * (bits // 8)
            if packing == STORED and count < needed:
                return 0
            strips[m + k, 0] = offset
            strips[m + k, 1] = count
        pages[n, DIRECTORY] = at
        pages[n, HEIGHT] = height
        pages[n, WIDTH] = width
        pages[n, KIND] = code
        pages[n, BIG] = big
        pages[n, COMPRESSION] = packing
        pages[n, DIFFERENCED] = differenced
        pages[n, ROWS] = rows
        pages[n, FIRST] = m
        pages[n, STRIPS] = number
        n += 1
        m += number
        at = unsigned(data, start + tags * entry, wide, big)
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def copy_stored(data, pages, strips, chosen, itemsize, out):
    """Copy the pixels of the chosen pages that are stored as such into a buffer of bytes."""
    page_size = pages[chosen[0], HEIGHT] * pages[chosen[0], WIDTH] * itemsize
    for i in range(chosen.size):
        page = pages[chosen[i]]
        if page[COMPRESSION] != STORED:
            continue
        at = i * page_size
        for k in range(page[STRIPS]):
            offset = strips[page[FIRST] + k, 0]
            rows = min(page[ROWS], page[HEIGHT] - k * page[ROWS])
            size = rows * page[WIDTH] * itemsize
            out[at : at + size] = data[offset : offset + size]
            at += size


@njit(cache=True, nogil=True, error_model="numpy")
def undo_differences(planes):
    """Make each pixel of (C, H, W) the sum of those up to it in its row, in its own type."""
    for c in range(planes.shape[0]):
        for r in range(planes.shape[1]):
            row = planes[c, r]
            for x in range(1, row.size):
                row[x] += row[x - 1]
