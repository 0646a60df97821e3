"""Masks to bits and back, in compiled loops: how masks travel and are kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from scip_mpi.batches import Int64Array, MaskBatch, UInt8Array, offsets_of


def bit_offsets(shapes: Int64Array, sets: int = 1) -> Int64Array:
    """Where the bits of each object's planes start, of so many mask sets, shape (m + 1,).

    Parameters
    ----------
    shapes : ndarray of int64, shape (m, 3)
        (C, H, W) of each object's crop.
    sets : int
    """
    return offsets_of(-(-shapes[:, 1] * shapes[:, 2] // 8) * shapes[:, 0] * sets)


def pack_bits(
    dense: Sequence[UInt8Array], shapes: Int64Array, of_channel: Int64Array | None = None
) -> tuple[UInt8Array, Int64Array]:
    """Pack the masks of all sets into bits.

    Parameters
    ----------
    dense : sequence of ndarray of uint8
        The masks of each set, 0 or 1, in the layout of a batch's pixels.
    shapes : ndarray of int64, shape (m, 3)
        (C, H, W) of each object's crop.
    of_channel : ndarray of int64, shape (C,), optional
        Which plane of ``dense`` is each channel's, where several have the same.

    Returns
    -------
    bits, offsets
        As in `MaskBatch`; bits beyond a plane's last pixel are 0.
    """
    size = shapes[:, 1] * shapes[:, 2]
    offsets = bit_offsets(shapes, len(dense))
    if of_channel is None:
        of_channel = np.arange(shapes[:, 0].max(initial=0))
    pixels = offsets_of(size * (of_channel.max(initial=-1) + 1))
    bits = np.empty(offsets[-1], np.uint8)
    for mask_set, masks in enumerate(dense):
        _pack(masks, pixels, shapes, of_channel, mask_set, offsets, bits)
    return bits, offsets


def unpack_bits(masks: MaskBatch, mask_set: int) -> UInt8Array:
    """Masks of one set, 0 or 1, in the layout of the crops' ``ImageBatch.pixels``."""
    return _unpacked(masks.bits, masks.offsets, masks.shapes, mask_set)


def unpack_set(bits: UInt8Array, shapes: Int64Array) -> UInt8Array:
    """Masks, 0 or 1, of bits that are those of one set alone."""
    return _unpacked(bits, bit_offsets(shapes), shapes, 0)


def _unpacked(
    bits: UInt8Array, offsets: Int64Array, shapes: Int64Array, mask_set: int
) -> UInt8Array:
    pixels = offsets_of(shapes.prod(axis=1))
    dense = np.empty(pixels[-1], np.uint8)
    _unpack(bits, offsets, shapes, mask_set, pixels, dense)
    return dense


def interleave(sets: Sequence[UInt8Array], shapes: Int64Array) -> tuple[UInt8Array, Int64Array]:
    """The bits of all sets, object by object, of each set's alone; result as of `pack_bits`."""
    if len(sets) == 1:
        return sets[0], bit_offsets(shapes)
    offsets = bit_offsets(shapes, len(sets))
    bits = np.empty(offsets[-1], np.uint8)
    for mask_set, own in enumerate(sets):
        _place(own, offsets, mask_set, len(sets), bits)
    return bits, offsets


@njit(cache=True, nogil=True, error_model="numpy")
def _place(own, offsets, mask_set, sets, bits):
    for i in range(len(offsets) - 1):
        start = offsets[i] // sets
        size = offsets[i + 1] // sets - start
        to = offsets[i] + mask_set * size
        bits[to : to + size] = own[start : start + size]


@njit(cache=True, nogil=True, error_model="numpy")
def _pack(dense, pixels, shapes, of_channel, mask_set, offsets, bits):
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        size = h * w
        whole, row = size // 8, (size + 7) // 8
        for c in range(channels):
            at = pixels[i] + of_channel[c] * size
            source = dense[at : at + size]
            to = offsets[i] + (mask_set * channels + c) * row
            target = bits[to : to + row]
            if c and of_channel[c] == of_channel[c - 1]:
                for b in range(row):
                    target[b] = bits[to - row + b]
                continue
            # A loop of constant length: compilers work on many bytes at a time.
            for b in range(whole):
                byte = np.uint8(0)
                for k in range(8):
                    byte = np.uint8(byte | np.uint8(source[8 * b + k] << np.uint8(k)))
                target[b] = byte
            if whole < row:
                byte = np.uint8(0)
                for k in range(size - 8 * whole):
                    byte = np.uint8(byte | np.uint8(source[8 * whole + k] << np.uint8(k)))
                target[whole] = byte


@njit(cache=True, nogil=True, error_model="numpy")
def _unpack(bits, offsets, shapes, mask_set, pixels, dense):
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        size = h * w
        whole, row = size // 8, (size + 7) // 8
        for c in range(channels):
            at = offsets[i] + (mask_set * channels + c) * row
            source = bits[at : at + row]
            to = pixels[i] + c * size
            target = dense[to : to + size]
            for b in range(whole):
                for k in range(8):
                    target[8 * b + k] = (source[b] >> np.uint8(k)) & np.uint8(1)
            for k in range(size - 8 * whole):
                target[8 * whole + k] = (source[whole] >> np.uint8(k)) & np.uint8(1)
