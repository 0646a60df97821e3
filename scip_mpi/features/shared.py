"""What feature families share, made once per batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scip_mpi.batches import ImageBatch
from scip_mpi.features.selection import exact_sums


@dataclass(frozen=True)
class Shared:
    """Pixels of every channel in ascending order.

    Attributes
    ----------
    order : ndarray of int32, shape (batch.pixels.size,)
        In the layout of ``batch.pixels``: for each object and channel, the positions (row * W +
        column) of its pixels in ascending order of value, ties in raster order. Empty unless a
        family needs it.
    """

    order: NDArray[np.int32]


def prepare(needs: Iterable[str], batch: ImageBatch) -> Shared:
    """Make what the families of a run need, for one batch.

    Parameters
    ----------
    needs : iterable of str
        The families' needs together.
    batch : ImageBatch
        Crops of objects.
    """
    needs = frozenset(needs)
    if not len(batch) or not (
        "sorted" in needs or ("sorted_unless_exact" in needs and not exact_sums(batch.pixels.dtype))
    ):
        return Shared(np.empty(0, np.int32))
    order = np.empty(batch.pixels.size, np.int32)
    if batch.pixels.dtype.kind in "iu" and batch.pixels.dtype.itemsize <= 2:
        shift = 1 << 15 if batch.pixels.dtype.kind == "i" else 0
        _radix_sort(batch.pixels, batch.offsets, batch.shapes, shift, order)
    else:
        kind, size = batch.pixels.dtype.kind, batch.pixels.dtype.itemsize
        bits = batch.pixels.view(f"u{size}")
        _bit_sort(bits, size, kind in "if", kind == "f", batch.offsets, batch.shapes, order)
    return Shared(order)


@njit(cache=True, nogil=True, error_model="numpy")
def _radix_sort(pixels, offsets, shapes, shift, order):
    """Stable order of 8 and 16 bit pixels, a byte at a time; ``shift`` makes them positive."""
    largest = 0
    for i in range(len(shapes)):
        largest = max(largest, shapes[i, 1] * shapes[i, 2])
    half = np.empty(largest, np.int32)
    low_count = np.empty(257, np.int64)
    high_count = np.empty(257, np.int64)
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        n = h * w
        for c in range(channels):
            at = offsets[i] + c * n
            low_count[:] = 0
            high_count[:] = 0
            for k in range(n):
                value = np.int64(pixels[at + k]) + shift
                low_count[(value & 255) + 1] += 1
                high_count[(value >> 8) + 1] += 1
            for j in range(256):
                low_count[j + 1] += low_count[j]
                high_count[j + 1] += high_count[j]
            for k in range(n):
                byte = (np.int64(pixels[at + k]) + shift) & 255
                half[low_count[byte]] = k
                low_count[byte] += 1
            for j in range(n):
                k = half[j]
                byte = (np.int64(pixels[at + k]) + shift) >> 8
                order[at + high_count[byte]] = k
                high_count[byte] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _bit_sort(bits, size, signed, floating, offsets, shapes, order):
    """Stable order of pixels of any other type, by the bits of each, a byte at a time.

    Positive floating point numbers are in the order of their bits, negative ones in the opposite
    order; both zeros are equal; what is no number comes last.
    """
    one = np.uint64(1)
    sign = one << np.uint64(8 * size - 1)
    every = sign | (sign - one)
    # Bits of infinity: the exponent's, all set.
    fraction = 10 if size == 2 else (23 if size == 4 else 52)
    infinity = (sign - one) ^ ((one << np.uint64(fraction)) - one)
    largest = 0
    for i in range(len(shapes)):
        largest = max(largest, shapes[i, 1] * shapes[i, 2])
    keys = np.empty(largest, np.uint64)
    places = np.empty(largest, np.int32)
    moved = np.empty(largest, np.int32)
    counts = np.empty(257, np.int64)
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        n = h * w
        for c in range(channels):
            at = offsets[i] + c * n
            for k in range(n):
                key = np.uint64(bits[at + k])
                if floating and (key & ~sign) > infinity:
                    key = every
                elif floating and key == sign:
                    key = sign
                elif floating and key & sign:
                    key = every ^ key
                elif signed:
                    key ^= sign
                keys[k] = key
                places[k] = k
            for byte in range(size):
                shift = np.uint64(8 * byte)
                counts[:] = 0
                for k in range(n):
                    counts[((keys[k] >> shift) & np.uint64(255)) + one] += 1
                if counts[((keys[0] >> shift) & np.uint64(255)) + one] == n:
                    continue
                for j in range(256):
                    counts[j + 1] += counts[j]
                for k in range(n):
                    digit = (keys[np.uint64(places[k])] >> shift) & np.uint64(255)
                    moved[counts[digit]] = places[k]
                    counts[digit] += 1
                places, moved = moved, places
            for k in range(n):
                order[at + k] = places[k]
