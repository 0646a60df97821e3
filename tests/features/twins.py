"""The families as their definitions read, with NumPy, SciPy and scikit-image, image by image."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats
from skimage.feature import graycomatrix, graycoprops
from skimage.filters import sobel
from skimage.measure import label, regionprops
from skimage.morphology import disk

Array = NDArray[Any]


def eleven(values: Array) -> list[float]:
    """SCIP's statistics of some values."""
    v = values.astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shape = [stats.skew(v), stats.kurtosis(v)]
    median = np.median(v)
    return [
        v.mean(), median, v.max(), v.min(), v.std(), np.median(np.abs(v - median)),
        np.percentile(v, 25), np.percentile(v, 75), v.sum(), *shape,
    ]  # fmt: skip


def intensity(image: Array, masks: Array, union: Array) -> list[float]:
    """Eight views of each channel."""
    out: list[float] = []
    for plane, own in zip(image.astype(float), masks, strict=True):
        for mask in (own, union):
            rim = mask & ~ndimage.binary_erosion(mask, disk(6), border_value=1)
            background = plane[~mask].mean() if (~mask).any() else 0.0
            for where in (mask, rim):
                for shift in (0.0, background):
                    out += eleven(plane[where] - shift) if where.any() else [0.0] * 11
    return out


def raw(image: Array) -> list[float]:
    """All pixels of each channel."""
    return [x for plane in image for x in eleven(plane.reshape(-1))]


def texture(image: Array, masks: Array, union: Array) -> list[float]:
    """Co-occurrence and gradient of each channel in both masks."""
    out: list[float] = []
    for plane, own in zip(image.astype(float), masks, strict=True):
        for mask in (own, union):
            out += one_texture(plane, mask) if mask.any() else [np.nan] * 28
    return out


def one_texture(plane: Array, mask: Array) -> list[float]:
    masked = np.where(mask, plane, np.nan)
    low, high = np.nanmin(masked), np.nanmax(masked)
    edges = np.histogram_bin_edges(plane[mask], bins=15, range=(low, high))
    levels = np.digitize(masked, edges, right=True)
    angles = [k * np.pi / 4 for k in (1, 3, 5, 7)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counts = graycomatrix(levels, [3, 5], angles, levels=17, symmetric=True, normed=True)
        counts = counts[:16, :16]
        out: list[float] = []
        for name in ("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "ASM"):
            values = graycoprops(counts, name)
            out += [*values.mean(axis=1), *values.std(axis=1)]
        gradient = sobel(masked)
        if np.isnan(gradient).all():
            return out + [np.nan] * 4
        return [*out, np.nanmean(gradient), np.nanstd(gradient), np.nanmax(gradient),
                np.nanmin(gradient)]  # fmt: skip


def shape(masks: Array, union: Array) -> list[float]:
    """Means over components of scikit-image's properties; orientation is judged elsewhere."""
    out: list[float] = []
    for mask in (union, *masks):
        regions = regionprops(label(mask, connectivity=2))
        if not regions:
            out += [0.0] * 11 + [np.nan] * 48
            continue
        out += np.mean([one_shape(r) for r in regions], axis=0).tolist()
    return out


def one_shape(r: Any) -> list[float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            r.area, r.area_convex, r.eccentricity, r.equivalent_diameter_area, r.euler_number,
            r.feret_diameter_max, r.area_filled, r.axis_major_length, r.axis_minor_length,
            r.orientation, r.perimeter, r.perimeter_crofton, r.solidity, r.extent,
            *r.inertia_tensor.ravel(), *r.inertia_tensor_eigvals, *r.moments.ravel(),
            *r.moments_central.ravel(), *r.moments_hu,
        ]  # fmt: skip
