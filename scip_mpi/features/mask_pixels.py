"""The pixels of each mask, listed once for all channels that share it, in a padded plane."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array, Scratch, SetMasks, offsets_of
from scip_mpi.features.regions import MaskWord, regions
from scip_mpi.features.selection import windows


class MaskPixels(NamedTuple):
    """Where the pixels of the masks of a batch lie, in the image and in padded planes.

    A padded plane is the bounding box of an object's masks with a margin around it, so that a
    neighbour of a pixel always has a place.

    Attributes
    ----------
    channels : ndarray of int64, shape (k,)
        The channels that are measured.
    sources : ndarray of int32
        Places in the image's plane, row * W + column, in raster order, mask after mask.
    places : ndarray of int32
        The same in the padded plane.
    bounds : ndarray of int64, shape (m, k, 2)
        Which of them belong to an object's channel: the first, and the one after the last.
    starts : ndarray of int64, shape (m + 1,)
        Where a buffer with one padded plane per object has that of an object. With one plane per
        object and channel, it is at ``k * starts[i] + j * (starts[i + 1] - starts[i])``.
    widths : ndarray of int64, shape (m,)
        Columns of an object's padded planes.
    values : ndarray of float64
        The pixels themselves, of each object's channels in turn.
    begins : ndarray of int64, shape (m, k)
        Where in ``values`` those of an object's channel begin.
    most : int
        Pixels of the largest mask.
    """

    channels: Int64Array
    sources: NDArray[np.int32]
    places: NDArray[np.int32]
    bounds: Int64Array
    starts: Int64Array
    widths: Int64Array
    values: FloatArray
    begins: Int64Array
    most: int


def mask_pixels(
    batch: ImageBatch,
    masks: SetMasks,
    channels: Int64Array,
    mask: MaskWord,
    margin: int,
    scratch: Scratch,
) -> MaskPixels:
    """List the pixels of the masks that channels are measured in; none of dropped objects.

    Parameters
    ----------
    channels : ndarray of int64
        The channels that are measured.
    mask : str
        ``combined`` or ``own``.
    margin : int
        Rows and columns around the bounding box.
    """
    where = regions(batch, masks, mask)
    boxes = windows(masks.bbox)
    sides = boxes[:, 2:] - boxes[:, :2] + 2 * margin
    starts = offsets_of(sides[:, 0] * sides[:, 1])
    size = int(np.count_nonzero(where.bits))
    sources = scratch.array("mask_sources", size, np.int32)
    places = scratch.array("mask_places", size, np.int32)
    bounds = np.zeros((len(batch), len(channels), 2), np.int64)
    planes = np.ascontiguousarray(where.starts[:, channels])
    kept = np.asarray(masks.kept, bool)
    _list(where.bits, planes, batch.shapes, kept, boxes, margin, sources, places, bounds)
    numbers = bounds[:, :, 1] - bounds[:, :, 0]
    ends = offsets_of(numbers.reshape(-1))
    firsts = ends[:-1].reshape(numbers.shape)
    values = scratch.array("mask_values", int(ends[-1]), np.float64)
    _gather(batch.pixels, batch.offsets, batch.shapes, channels, sources, bounds, firsts, values)
    most = int(numbers.max(initial=0))
    return MaskPixels(
        channels, sources, places, bounds, starts, sides[:, 1].copy(), values, firsts, most
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _list(bits, planes, shapes, kept, boxes, margin, sources, places, bounds):
    n = 0
    for i in range(len(shapes)):
        if not kept[i]:
            continue
        width = shapes[i, 2]
        top, left, bottom, right = boxes[i]
        across = right - left + 2 * margin
        seen = np.int64(-1)
        first = n
        for j in range(planes.shape[1]):
            if planes[i, j] != seen:
                seen = planes[i, j]
                first = n
                for y in range(top, bottom):
                    source = y * width
                    place = (y - top + margin) * across + margin - left
                    for x in range(left, right):
                        if bits[np.uint64(seen + source + x)]:
                            sources[n] = source + x
                            places[n] = place + x
                            n += 1
            bounds[i, j, 0] = first
            bounds[i, j, 1] = n


@njit(cache=True, nogil=True, error_model="numpy")
def _gather(pixels, offsets, shapes, channels, sources, bounds, firsts, values):
    """The one kernel that knows the type of the pixels."""
    for i in range(len(shapes)):
        area = shapes[i, 1] * shapes[i, 2]
        for j in range(len(channels)):
            source = offsets[i] + channels[j] * area
            target = firsts[i, j] - bounds[i, j, 0]
            for k in range(bounds[i, j, 0], bounds[i, j, 1]):
                values[np.uint64(target + k)] = pixels[np.uint64(source + sources[np.uint64(k)])]


@njit(cache=True, nogil=True, error_model="numpy")
def are_numbers(values):
    """Whether none is infinite or no number at all."""
    good = True
    for k in range(len(values)):
        good &= values[k] - values[k] == 0.0
    return good


@njit(cache=True, nogil=True, error_model="numpy")
def ends_of(values):
    """The least and the largest of some numbers, at least one."""
    # Four at a time: each comparison would wait for the one before.
    a, b, c, d = values[0], values[0], values[0], values[0]
    e, f, g, h = a, a, a, a
    n = len(values)
    for k in range(0, n - 3, 4):
        p, q, r, s = values[k], values[k + 1], values[k + 2], values[k + 3]
        a = p if p < a else a
        b = q if q < b else b
        c = r if r < c else c
        d = s if s < d else d
        e = p if p > e else e
        f = q if q > f else f
        g = r if r > g else g
        h = s if s > h else h
    for k in range(n - n % 4, n):
        a = values[k] if values[k] < a else a
        e = values[k] if values[k] > e else e
    return min(min(a, b), min(c, d)), max(max(e, f), max(g, h))


@njit(cache=True, nogil=True, error_model="numpy")
def lay_out(values, places, plane):
    """Put the pixels of a mask into a padded plane.

    Parameters
    ----------
    values : float64
        The pixels.
    places : int32
        Where they go.
    plane : float64, out
        Other places are left as they are.
    """
    for k in range(len(places)):
        plane[np.uint64(places[k])] = values[k]


@njit(cache=True, nogil=True, error_model="numpy")
def inner_places(places, width, distance, flags, inner):
    """Pixels whose eight neighbours at a distance are all in the mask; their number.

    Parameters
    ----------
    places : int32
        The mask's, in a padded plane of that width.
    flags : uint8, scratch
        A plane, all 0, and left so.
    inner : int32, out
    """
    for k in range(len(places)):
        flags[np.uint64(places[k])] = 1
    n = 0
    for k in range(len(places)):
        place = np.int64(places[k])
        around = np.int64(0)
        for y in range(-distance, distance + 1, distance):
            for x in range(-distance, distance + 1, distance):
                around += np.int64(flags[np.uint64(place + y * width + x)])
        inner[n] = places[k]
        n += around == 9
    for k in range(len(places)):
        flags[np.uint64(places[k])] = 0
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def tight_box(sources, width):
    """First row and column, rows and columns of a mask's bounding box."""
    top = np.int64(sources[0]) // width
    bottom = np.int64(sources[len(sources) - 1]) // width
    left = np.int64(width)
    right = np.int64(0)
    for k in range(len(sources)):
        x = np.int64(sources[k]) % width
        left = min(left, x)
        right = max(right, x)
    return top, left, bottom - top + 1, right - left + 1


@njit(cache=True, nogil=True, error_model="numpy")
def stand_out(values, sources, width, box, pitch, out):
    """The pixels of a mask less their mean, on a ground of 0; False where they are all equal.

    Parameters
    ----------
    values : float64
        The pixels, all of them numbers.
    sources : int32
        Their places in the image.
    width : int
        Columns of the image.
    box : tuple of int
        The mask's `tight_box`.
    pitch : int
        Columns of ``out``.
    out : float64, out
        Rows and columns from the box's corner; 0 elsewhere.
    """
    low, high = ends_of(values)
    if low == high:
        return False
    total = 0.0
    for k in range(len(values)):
        total += values[k]
    mean = total / len(values)
    for k in range(len(out)):
        out[k] = 0.0
    for k in range(len(values)):
        y = np.int64(sources[k]) // width - box[0]
        x = np.int64(sources[k]) % width - box[1]
        out[np.uint64(y * pitch + x)] = values[k] - mean
    return True
