"""SCIP's mask methods with scikit-image, one plane at a time: what the kernels must meet."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, maximum_filter, minimum_filter
from skimage.draw import disk as drawn_disk
from skimage.filters import (
    gaussian,
    sobel,
    threshold_li,
    threshold_local,
    threshold_otsu,
    threshold_triangle,
)
from skimage.filters.rank import median
from skimage.measure import label, regionprops
from skimage.morphology import closing, disk, remove_small_holes, remove_small_objects, white_tophat
from skimage.restoration import denoise_nl_means
from skimage.segmentation import expand_labels, watershed

from scip_mpi.batches import ImageBatch

DTYPES = ("u1", "u2", "i2", "i4", "f4", "f8")
Plane = NDArray[Any]


def twin_li(x: Plane, sigma: float) -> Plane:
    if x.dtype == np.float32:
        x = x.astype(np.float64)  # scikit-image would stay in single precision; we never do
    gradient = gaussian(sobel(gaussian(x, sigma=sigma)), sigma=2 * sigma)
    return cleaned(gradient > threshold_li(gradient))


def twin_otsu(x: Plane) -> Plane:
    if x.dtype.kind == "f" or x.max() > 512 or x.min() < 0:
        x = np.digitize(x, np.histogram_bin_edges(x, 512))
    levels = x.astype(np.uint16)
    texture = levels.astype(float) - median(levels, footprint=disk(5))
    texture = sobel(gaussian(texture, sigma=0.5))
    if np.ptp(texture) == 0:
        return np.zeros(x.shape, bool)
    texture = (texture - texture.min()) / np.ptp(texture)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a rank filter on many levels
        coarse = median((texture * levels.max()).astype(np.uint16), footprint=disk(5))
    return cleaned(coarse > threshold_otsu(coarse))


def twin_spot(x: Plane, radius: int) -> Plane:
    if x.dtype.kind == "i":
        x = x.astype(np.int64)  # the difference may not fit the type
    if radius <= min(x.shape):
        tophat = white_tophat(x, footprint=disk(radius))
    else:
        # scipy reads beyond its buffers where the disc is several times the image: the erosion of
        # 2 x 4 zeros by disk(8) is not 0. So mirror by hand, and stay clear of its borders.
        eroded = mirrored(x, radius, minimum_filter)
        tophat = x - mirrored(eroded, radius, maximum_filter)
    return tophat > np.quantile(tophat, 0.99)


def told_apart(x: Plane) -> Plane:
    """The plane, made flat if numpy finds its range too small for bins: equal but for rounding."""
    if x.dtype.kind == "f" and (np.diff(np.linspace(x.min(), x.max(), 257)) <= 0).any():
        return np.full_like(x, x.flat[0])
    return x


def twin_sobel(x: Plane) -> Plane:
    gradient = told_apart(sobel(x.astype(np.float64) if x.dtype.kind == "f" else x))
    if np.ptp(gradient) == 0:
        return np.zeros(x.shape, bool)
    return cleaned(gradient > threshold_otsu(gradient))


def twin_watershed(x: Plane, noisy: bool) -> Plane:
    x = x.astype(np.float64) if x.dtype.kind == "f" else x
    if noisy:
        x = denoise_nl_means(x, patch_size=2, patch_distance=1)
    gradient = told_apart(closing(sobel(x), disk(2)))
    markers = np.zeros(x.shape, np.int32)
    t = threshold_otsu(gradient)
    markers[gradient < t - t * 0.5] = 1
    markers[gradient > t + t * 0.5] = 2
    mask = watershed(x, markers, compactness=1) == 2
    if not mask.any():
        return mask  # of which all may be a small hole
    mask = remove_small_holes(mask, max_size=299)
    return remove_small_objects(expand_labels(mask.astype(int), 1) > 0, max_size=19)


def twin_circle(x: Plane) -> Plane:
    mask = np.zeros(x.shape, bool)
    h, w = x.shape
    if min(h, w) >= 3:
        mask[drawn_disk((h // 2, w // 2), min(h, w) // 3, shape=x.shape)] = True
    return mask


def twin_clean(mask: Plane, radius: int, fill: bool, smallest: int, biggest: int | None) -> Plane:
    """Opening, holes and sizes; the opening as in `twin_spot`."""
    mask = mask.astype(np.uint8)
    if radius:
        mask = mirrored(mirrored(mask, radius, minimum_filter), radius, maximum_filter)
    mask = binary_fill_holes(mask) if fill else mask.astype(bool)
    sizes = np.bincount(label(mask).ravel())
    gone = sizes < smallest
    if biggest is not None:
        gone |= sizes > biggest
    gone[0] = False
    return mask & ~gone[label(mask)]


def twin_largest(mask: Plane) -> Plane:
    labels = label(mask)
    sizes = np.bincount(labels.ravel())[1:]
    return labels == sizes.argmax() + 1 if sizes.size else mask


def twin_threshold(
    x: Plane,
    method: str,
    value: float = 0,
    percentile: float = 90,
    block_size: int = 35,
    offset: float = 0,
    smooth: float = 0,
    foreground: str = "bright",
) -> Plane:
    # In double precision, and where no difference of two integers overflows.
    x = x.astype(np.float64 if x.dtype.kind == "f" else np.int64)
    if foreground == "dark":
        x, value = -x, -value
    if smooth:
        x = gaussian(x.astype(np.float64), sigma=smooth)
    if x.dtype.kind == "i" and np.ptp(x) >= 2**16:
        x = x.astype(np.float64)  # scikit-image would count 2^32 levels
    match method:
        case "fixed":
            t = value
        case "otsu":
            t = threshold_otsu(told_apart(x))
        case "li":
            t = threshold_li(x.copy())
        case "triangle":
            t = threshold_triangle(told_apart(x))
        case "percentile":
            t = np.percentile(x, percentile)
        case "local":
            t = threshold_local(x, block_size, method="mean", offset=offset)
    return x > t


def mirrored(x: Plane, radius: int, extreme: Callable[..., Plane]) -> Plane:
    padded = np.pad(x, radius, mode="symmetric")
    return extreme(padded, footprint=disk(radius))[radius:-radius, radius:-radius]


def cleaned(mask: Plane) -> Plane:
    # SCIP's scikit-image removes what is strictly smaller than a quarter of the image, than 20
    # pixels. Under those parameters' old names 0.26 removes equals too, by mistake
    # (github.com/scikit-image/scikit-image/issues/8001), hence the new one.
    mask = remove_small_holes(mask, max_size=math.ceil(mask.size / 4) - 1)
    return remove_small_objects(mask, max_size=19)


def twin_border(mask: Plane) -> tuple[Plane, int]:
    """The mask without components on the border, and the number of those left."""
    labels = label(mask)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    counts = np.bincount(edge, minlength=labels.max() + 1)
    gone = np.flatnonzero(counts > int(0.25 * min(mask.shape)))
    left = np.where(np.isin(labels, gone), 0, labels)
    return left > 0, len(np.unique(left[left > 0]))


def twin_box(masks: Plane) -> list[int]:
    """Bounding box of the union of an image's masks (C, H, W)."""
    union = masks.any(axis=0).astype(np.uint8)
    return list(regionprops(union)[0].bbox) if union.any() else [-1] * 4


def planes_of(batch: ImageBatch, flat: Plane) -> list[Plane]:
    """Masks in a batch's layout as one boolean array (C, H, W) per image."""
    return [a.astype(bool) for a in ImageBatch(flat, batch.offsets, batch.shapes, batch.index)]


def everything(batch: ImageBatch) -> Plane:
    return np.ones((len(batch), batch.channels), bool)


def same_as_twin(
    method: Callable[..., Plane], twin: Callable[[Plane], Plane], images: Sequence[Plane]
) -> int:
    """Compare every plane with its twin; the number of pixels in masks."""
    batch = ImageBatch.from_images(images)
    flat = method(batch, everything(batch), np)
    assert flat.dtype == np.uint8
    assert flat.shape == batch.pixels.shape
    assert flat.max(initial=0) <= 1
    for i, (ours, image) in enumerate(zip(planes_of(batch, flat), batch, strict=True)):
        for c, plane in enumerate(image):
            differ = int((ours[c] != twin(plane)).sum())
            assert not differ, f"image {i}, channel {c}: {differ} pixels"
    return int(flat.sum())


@st.composite
def images_of(draw: st.DrawFn, largest: int = 14) -> list[Plane]:
    """No image or a few, of odd shapes, few levels (or all equal), 1 to 3 channels, any type."""
    side = st.integers(1, largest)
    shapes = draw(st.lists(st.tuples(side, side), max_size=3))
    channels = draw(st.integers(1, 3))
    levels = draw(st.sampled_from([1, 2, 5, 100, 255]))
    dtype = draw(st.sampled_from(["u1", "u2", "i2", "f4", "f8"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shift = draw(st.sampled_from([0, 7])) if dtype[0] == "u" else draw(st.integers(-99, 99))
    scale = 0.37 if dtype[0] == "f" else 1
    images = [rng.integers(0, levels, (channels, *s)) * scale + shift for s in shapes]
    return [np.clip(a, 0, 255).astype(dtype) if dtype == "u1" else a.astype(dtype) for a in images]


def speckled(shapes: Sequence[tuple[int, int]], channels: int, seed: int = 0) -> list[Plane]:
    """Ragged images, uint16, of blurred discs, noise and a few bright pixels."""
    rng = np.random.default_rng(seed)
    images = []
    for h, w in shapes:
        y, x = np.mgrid[:h, :w]
        image = rng.normal(800, 25, (channels, h, w))
        for c in range(channels):
            cy, cx, r = h * rng.uniform(0.3, 0.7), w * rng.uniform(0.3, 0.7), min(h, w) / 3
            distance = np.hypot(y - cy, x - cx)
            image[c] += 4000 * 10 ** rng.uniform(-1, 1) / (1 + np.exp(distance - r))
        image[rng.random(image.shape) < 0.01] *= 1.5
        images.append(image.clip(0, 65535).astype(np.uint16))
    return images


def as_type(image: Plane, dtype: str) -> Plane:
    """A uint16 image over much of the range of another type, negative values included."""
    match np.dtype(dtype).str[1:]:
        case "u1":
            return (image >> 6).clip(0, 255).astype(np.uint8)
        case "i2":
            return (image.astype(np.int64) - 2000).clip(-32768, 32767).astype(np.int16)
        case "i4":
            return (image.astype(np.int32) - 3000) * 1001
        case "f4" | "f8":
            return (image.astype(np.float64) / 3 - 1000).astype(dtype)
    return image


def twelve_channel_images(shared_dir: Path) -> list[Plane]:
    folder = shared_dir / "reference" / "twelve_channel_scip" / "images"
    return [tifffile.imread(f) for f in sorted(folder.glob("*.tif"))]
