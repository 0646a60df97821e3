"""The installed peers, called the way that suits them best, as cases of the kernel benchmark.

On crops one call for each cell and channel; on a field one call for all labels of a channel.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import harness
import numpy as np
from kernel_cases import CHANNELS, FINE, FIVE, SPOT, Case
from kernel_inputs import Cells
from numpy.typing import NDArray
from skimage.feature import graycomatrix, graycoprops
from skimage.filters import sobel
from skimage.measure import regionprops, regionprops_table
from skimage.morphology import disk

PEERS = ("cp_measure", "mahotas", "nyxus", "scikit-image")
LEVELS = 16
ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
GREY = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "ASM")
SHAPE = (
    "area", "area_convex", "eccentricity", "equivalent_diameter_area", "euler_number",
    "feret_diameter_max", "area_filled", "axis_major_length", "axis_minor_length", "orientation",
    "perimeter", "perimeter_crofton", "solidity", "extent", "inertia_tensor",
    "inertia_tensor_eigvals", "moments", "moments_central", "moments_hu",
)  # fmt: skip
INTENSITY = (
    "intensity_mean",
    "intensity_max",
    "intensity_min",
    "intensity_std",
    "intensity_median",
)
MOMENTS = (
    "moments_weighted_central", "moments_weighted_normalized", "moments_weighted_hu",
)  # fmt: skip

Plane = NDArray[Any]
# call(labels, pixels) does one channel, or a pair of them, of a crop or a field.
Call = Callable[[Any, Any], Any]


def peers(cells: Cells, few: Cells) -> list[Case]:
    """All cases of the peers that are installed; ``few`` cells as crops, ``cells`` as a field."""
    found = list(_of_scikit_image(few, cells))
    if harness.optional("mahotas"):
        found += _of_mahotas(few, cells)
    if harness.optional("cp_measure"):
        found += _of_cp_measure(few, cells)
    import texture_peers

    return [*found, *texture_peers.peers(few, cells)]


def missing() -> list[str]:
    """Peers that are not installed."""
    modules = {"scikit-image": "skimage"}
    return [p for p in PEERS if harness.optional(modules.get(p, p)) is None]


def both(
    kernel: str, who: str, how: str, columns: int, call: Call, few: Cells, cells: Cells,
    given: tuple[str, ...] = ("crops", "field"),
) -> Iterator[Case]:  # fmt: skip
    """One way to do a thing, on crops and on the field."""

    def on_crops() -> None:
        for image, union in zip(few.batch, few.union, strict=True):
            labels = union.astype(np.int32)
            for part in _parts(kernel, image):
                call(labels, part)

    def on_field() -> None:
        for part in _parts(kernel, cells.field[:CHANNELS]):
            call(cells.labels, part)

    if "crops" in given:
        units = len(few) * len(_parts(kernel, few.batch.image(0)))
        yield Case(kernel, "crops", who, how, columns, units, on_crops)
    if "field" in given:
        units = len(cells) * len(_parts(kernel, cells.field[:CHANNELS]))
        yield Case(kernel, "field", who, how, columns, units, on_field)


def _parts(kernel: str, image: Plane) -> list[Plane]:
    """What a call is for: a channel, a pair of them; a property of the mask alone comes once."""
    if kernel in ("shape", "cp_shape"):
        return [image[0]]
    if kernel in ("colocalization", "Costes"):
        return [image[list(pair)] for pair in combinations(range(len(image)), 2)]
    return list(image)


def _of_scikit_image(few: Cells, cells: Cells) -> Iterator[Case]:
    who = "scikit-image"

    def shape(labels: Plane, _: Plane) -> Any:
        return regionprops_table(labels, properties=SHAPE)

    def intensity(labels: Plane, pixels: Plane) -> Any:
        return regionprops_table(labels, pixels, properties=INTENSITY)

    def cooccurrence(labels: Plane, pixels: Plane) -> None:
        for region in regionprops(labels, pixels):
            levels = quantised(region.image_intensity, region.image)
            counts = graycomatrix(levels, [3, 5], ANGLES, LEVELS + 1, symmetric=True, normed=True)
            for name in GREY:
                graycoprops(counts[1:, 1:], name)

    def gradient(labels: Plane, pixels: Plane) -> Any:
        return regionprops_table(labels, sobel(pixels), properties=INTENSITY[:4])

    def moments(labels: Plane, pixels: Plane) -> Any:
        return regionprops_table(labels, pixels, properties=MOMENTS)

    with_bins = f"graycomatrix, {LEVELS} levels, 2 distances, 4 angles"
    yield from both("shape", who, "regionprops_table", 59, shape, few, cells)
    yield from both(FIVE, who, "regionprops_table", 5, intensity, few, cells)
    yield from both("co-occurrence", who, with_bins, 48, cooccurrence, few, cells)
    yield from both("Sobel", who, "sobel, regionprops_table", 4, gradient, few, cells)
    yield from both("moments", who, "regionprops_table", 39, moments, few, cells)


def quantised(pixels: Plane, mask: Plane, number: int = LEVELS) -> Plane:
    """Levels from 1 to so many of the pixels of a mask, 0 outside."""
    values = pixels[mask].astype(float)
    low, span = values.min(), max(float(np.ptp(values)), 1.0)
    levels = 1 + ((pixels - low) * (number - 1) / span).clip(0, number - 1).astype(np.uint8)
    return np.where(mask, levels, 0).astype(np.uint8)


def _of_mahotas(few: Cells, cells: Cells) -> Iterator[Case]:
    import mahotas
    from mahotas import labeled

    who, footprint, spots = "mahotas", disk(5), disk(SPOT)

    def two_medians(_: Plane, pixels: Plane) -> None:
        levels = (pixels >> 3).astype(np.uint16)
        for _ in range(2):
            levels = mahotas.median_filter(levels, footprint)

    def spot(_: Plane, pixels: Plane) -> Any:
        return mahotas.morph.tophat_open(pixels, spots)

    def shape(labels: Plane, _: Plane) -> None:
        mask = labels > 0
        mahotas.features.roundness(mask)
        mahotas.features.ellipse_axes(mask)
        mahotas.features.eccentricity(mask)
        labeled.perimeter(mask)

    def intensity(labels: Plane, pixels: Plane) -> None:
        for measure in (mahotas.labeled_sum, labeled.labeled_max, labeled.labeled_min):
            measure(pixels.astype(float), labels)
        labeled.labeled_size(labels)

    def cooccurrence(labels: Plane, pixels: Plane) -> None:
        for region in regionprops(labels, pixels):
            levels = quantised(region.image_intensity, region.image)
            for distance in (3, 5):
                try:
                    mahotas.features.haralick(levels, ignore_zeros=True, distance=distance)
                except ValueError:  # no pair at all in one of the directions
                    continue

    def gradient(_: Plane, pixels: Plane) -> Any:
        return mahotas.sobel(pixels.astype(float), just_filter=True)

    def zernike(labels: Plane, pixels: Plane) -> None:
        for region in regionprops(labels, pixels):
            radius = max(region.image.shape) / 2
            mahotas.features.zernike_moments(region.image_intensity.astype(float), radius, degree=9)

    yield from both("zernike", who, "zernike_moments, without the circle", 30, zernike, few, cells)
    yield from both("otsu", who, "its two median filters alone", 0, two_medians, few, cells)
    yield from both("spot", who, "tophat_open alone", 0, spot, few, cells)
    yield from both("shape", who, "roundness, ellipse_axes, eccentricity, perimeter", 5, shape,
                     few, cells, ("crops",))  # fmt: skip
    yield from both(FIVE, who, "labeled sum, max, min, size", 4, intensity, few, cells)
    yield from both("co-occurrence", who, f"haralick, {LEVELS} levels, 2 distances, 4 angles", 104,
                     cooccurrence, few, cells)  # fmt: skip
    yield from both("Sobel", who, "sobel, no statistics", 0, gradient, few, cells)


def _of_cp_measure(few: Cells, cells: Cells) -> Iterator[Case]:
    import cp_measure
    import texture_peers
    from cp_measure.bulk import get_core_measurements

    for backend in (None, "numba"):
        who = "cp_measure" if backend is None else f"cp_measure, {backend}"
        cp_measure.set_accelerator(backend)
        measures = get_core_measurements(sanitize=False)
        cp_measure.set_accelerator(None)

        def call(name: str, measures: Any = measures, **settings: Any) -> Call:
            def measure(labels: Plane, pixels: Plane) -> Any:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    return measures[name](labels, pixels.astype(float) / 65535, **settings)

            return measure

        def texture(labels: Plane, pixels: Plane, call: Any = call) -> None:
            for distance in (3, 5):
                call("texture", scale=distance, gray_levels=LEVELS)(labels, pixels)

        if backend is None:  # no other version of it there is
            columns = len(call("sizeshape")(few.union[0].astype(np.int32), few.batch.image(0)[0]))
            yield from both("shape", who, "sizeshape", columns, call("sizeshape"), few, cells)
        columns = len(call("intensity")(few.union[0].astype(np.int32), few.batch.image(0)[0]))
        yield from both("intensity", who, "intensity", columns, call("intensity"), few, cells)
        yield from both("co-occurrence", who, f"texture, {LEVELS} levels, 2 distances, 4 angles",
                         104, texture, few, cells)  # fmt: skip
        for kernel, levels in (("haralick", texture_peers.LEVELS), (FINE, 256)):
            if kernel == FINE and backend is None:
                continue  # 80 ms a cell and channel
            spread = _spread(call("texture", scale=1, gray_levels=levels))
            how = f"texture, {levels} levels, 4 angles"
            yield from both(kernel, who, how, 52, spread, few, cells)
        yield from both("cp_intensity", who, "intensity", columns, call("intensity"), few, cells)

    def granularity(labels: Plane, pixels: Plane) -> Any:
        # Without its subsampling, as ours by default.
        return call("granularity", subsample_size=1)(labels, pixels)

    def zernike(labels: Plane, pixels: Plane) -> None:
        call("radial_zernikes")(labels, pixels)
        call("zernike")(labels, pixels)

    def shape(labels: Plane, pixels: Plane) -> None:
        call("sizeshape")(labels, pixels)
        call("feret")(labels, pixels)

    who = "cp_measure"
    yield from both("radial", who, "radial_distribution", 12, call("radial_distribution"), few,
                     cells)  # fmt: skip
    yield from both("zernike", who, "radial_zernikes, zernike", 90, zernike, few, cells)
    yield from both("granularity", who, "granularity", 16, granularity, few, cells)
    yield from both("cp_shape", who, "sizeshape, feret", 83, shape, few, cells)
    yield from _of_pairs(few, cells)


def _of_pairs(few: Cells, cells: Cells) -> Iterator[Case]:
    from cp_measure.core import measurecolocalization as pairs

    def all_but_costes(labels: Plane, two: Plane) -> None:
        first, second = two.astype(float) / 65535
        for measure in (
            pairs.get_correlation_pearson,
            pairs.get_correlation_manders_fold,
            pairs.get_correlation_overlap,
            pairs.get_correlation_rwc,
        ):
            measure(first, second, labels)

    def costes(labels: Plane, two: Plane) -> None:
        pairs.get_correlation_costes(*two, labels)

    who = "cp_measure"
    yield from both("colocalization", who, "pearson, manders, overlap, rwc", 9, all_but_costes,
                     few, cells)  # fmt: skip
    yield from both("Costes", who, "costes, faster", 2, costes, few, cells)


def _spread(call: Call) -> Call:
    """With pixels spread over all of their type, so that all levels of the type occur."""
    return lambda labels, pixels: call(labels, pixels * (65534.0 / pixels.max()))
