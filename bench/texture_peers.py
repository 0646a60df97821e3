"""Texture families' twins, and the peers that measure the like, as cases of the kernel benchmark.

Where a peer has no such family it is left out: run lengths, zones, tones and dependences are
nyxus's alone. It gets one thread, and one feature group at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import harness
import numpy as np
from kernel_cases import Case
from kernel_inputs import Cells
from kernel_peers import ANGLES, Plane, both, quantised
from scipy import ndimage
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern
from skimage.filters import gabor as gabor_filter
from skimage.filters import laplace, sobel
from skimage.measure import regionprops, regionprops_table

from scip_mpi.features.grey import LEVELS

PROPERTIES = (
    "contrast", "dissimilarity", "homogeneity", "ASM", "correlation", "entropy", "variance", "mean",
)  # fmt: skip
WAVES = (4, 8)
# nyxus's names of what we call differently.
GROUPS = {
    "haralick": "*ALL_GLCM*", "glrlm": "*ALL_GLRLM*", "glszm": "*ALL_GLSZM*",
    "ngtdm": "*ALL_NGTDM*", "gldm": "*ALL_NGLDM*", "gabor": "GABOR",
}  # fmt: skip
FAMILIES = ("haralick", "glrlm", "glszm", "ngtdm", "gldm", "lbp", "focus", "gabor")


def twins(few: Cells) -> Iterator[Case]:
    """The definitions in the tests, plane by plane in the combined mask."""
    import filter_twins
    import grey_twins

    def of_levels(measure: Callable[[Plane], Any]) -> Callable[[Plane, Plane], Any]:
        return lambda plane, mask: measure(grey_twins.levels_of(plane, mask, LEVELS))

    def haralick(levels: Plane) -> None:
        for angle in grey_twins.ANGLES:
            grey_twins.haralick(grey_twins.cooccurrence(levels, angle))

    def glrlm(levels: Plane) -> None:
        for angle in grey_twins.ANGLES:
            grey_twins.glrlm(levels, angle)

    def gabor(plane: Plane, mask: Plane) -> None:
        for wave in WAVES:
            for angle in grey_twins.ANGLES:
                filter_twins.gabor(plane, mask, wave, angle)

    calls: dict[str, tuple[int, Callable[[Plane, Plane], Any]]] = {
        "haralick": (52, of_levels(haralick)),
        "glrlm": (64, of_levels(glrlm)),
        "glszm": (16, of_levels(grey_twins.glszm)),
        "ngtdm": (5, of_levels(grey_twins.ngtdm)),
        "gldm": (17, of_levels(grey_twins.gldm)),
        "lbp": (10, lambda plane, mask: filter_twins.lbp(plane, mask, 1)),
        "focus": (3, filter_twins.focus),
        "gabor": (8, gabor),
    }
    for kernel, (columns, twin) in calls.items():

        def whole(twin: Callable[[Plane, Plane], Any] = twin) -> None:
            for image, union in zip(few.batch, few.union, strict=True):
                for plane in image:
                    twin(plane, union)

        units = len(few) * few.batch.channels
        yield Case(kernel, "crops", "twin", "NumPy, scikit-image", columns, units, whole)


def peers(few: Cells, cells: Cells) -> Iterator[Case]:
    """All cases of the peers that are installed."""
    yield from _of_scikit_image(few, cells)
    if harness.optional("mahotas"):
        yield from _of_mahotas(few, cells)
    if harness.optional("nyxus"):
        yield from _of_nyxus(few, cells)


def _of_scikit_image(few: Cells, cells: Cells) -> Iterator[Case]:
    who = "scikit-image"

    def haralick(labels: Plane, pixels: Plane) -> None:
        for region in regionprops(labels, pixels):
            levels = quantised(region.image_intensity, region.image, LEVELS)
            counts = graycomatrix(levels, [1], ANGLES, LEVELS + 1, symmetric=True, normed=True)
            for name in PROPERTIES:
                graycoprops(counts[1:, 1:], name)

    def lbp(labels: Plane, pixels: Plane) -> Any:
        codes = local_binary_pattern(pixels, 8, 1, "uniform").astype(np.int64)
        return np.bincount((labels * 10 + codes).ravel(), minlength=10 * (int(labels.max()) + 1))

    def focus(labels: Plane, pixels: Plane) -> None:
        floats = pixels.astype(float)
        for picture in (sobel(floats), laplace(floats)):
            regionprops_table(labels, picture, properties=("intensity_mean", "intensity_std"))

    def gabor(labels: Plane, pixels: Plane) -> None:
        index = np.arange(1, int(labels.max()) + 1)
        floats = pixels.astype(float)
        for wave in WAVES:
            for angle in ANGLES:
                real, imaginary = gabor_filter(floats, 1 / wave, angle)
                ndimage.mean(np.hypot(real, imaginary), labels, index)

    how = f"graycomatrix, {LEVELS} levels, 4 angles"
    yield from both("haralick", who, how, 4 * len(PROPERTIES), haralick, few, cells)
    yield from both("lbp", who, "local_binary_pattern, bincount", 10, lbp, few, cells)
    yield from both("focus", who, "sobel, laplace, no spectrum", 4, focus, few, cells)
    yield from both("gabor", who, "gabor, 2 wavelengths, 4 angles", 8, gabor, few, cells)


def _of_mahotas(few: Cells, cells: Cells) -> Iterator[Case]:
    import mahotas

    who = "mahotas"

    def haralick(labels: Plane, pixels: Plane) -> None:
        for region in regionprops(labels, pixels):
            levels = quantised(region.image_intensity, region.image, LEVELS)
            mahotas.features.haralick(levels, ignore_zeros=True)

    def lbp(labels: Plane, pixels: Plane) -> None:
        for region in regionprops(labels, pixels):
            mahotas.features.lbp(region.image_intensity, 1, 8)

    how = f"haralick, {LEVELS} levels, 4 angles"
    yield from both("haralick", who, how, 52, haralick, few, cells)
    yield from both("lbp", who, "lbp, 36 patterns", 36, lbp, few, cells)


def _of_nyxus(few: Cells, cells: Cells) -> Iterator[Case]:
    import nyxus

    for kernel, group in GROUPS.items():
        measures = nyxus.Nyxus([group], n_feature_calc_threads=1, coarse_gray_depth=LEVELS)

        def call(labels: Plane, pixels: Plane, measures: Any = measures) -> Any:
            return measures.featurize(pixels, labels.astype(np.uint32))

        columns = call(few.union[0].astype(np.uint32), few.batch.image(0)[0]).shape[1] - 3
        yield from both(kernel, "nyxus", group, columns, call, few, cells)
