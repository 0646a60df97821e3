"""Objects of a field of view by threshold, distance and flooding (``segment: watershed``)."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array, UInt8Array
from scip_mpi.errors import UserError
from scip_mpi.segmentation.cleaning import fill_holes
from scip_mpi.segmentation.components import label_plane, run_scratch
from scip_mpi.segmentation.distance import distance
from scip_mpi.segmentation.flooding import flood_parts
from scip_mpi.segmentation.li_threshold import li_threshold
from scip_mpi.segmentation.planes import require_numpy
from scip_mpi.segmentation.seeds import seeds
from scip_mpi.segmentation.smoothing import smooth_plane

# In diameters: the smoothing, the smallest object, and the smoothing of the distance and the least
# distance of two seeds; found on DNA stains with known nuclei.
SMOOTHING = 0.1
SMALLEST = 1 / 3
SEED_SMOOTHING = 0.08
SEED_DISTANCE = 0.35


def watershed(
    batch: ImageBatch,
    xp: ModuleType,
    *,
    channel: int,
    cell_diameter: float | None = None,
    smoothing: float | None = None,
    threshold: Literal["li", "otsu", "triangle"] | float = "li",
    expansion_factor: float = 0.0,
) -> NDArray[np.int32]:
    """Label the objects of one channel: what SCIP's ``watershed_dapi`` was meant to do.

    Gaussian smoothing, a threshold, holes filled, objects smaller than a third of the diameter
    removed; seeds are the maxima of the smoothed distance to the background, and flooding from them
    parts objects that touch, each connected component by itself.

    Parameters
    ----------
    batch : ImageBatch
        Fields of view.
    xp : module
        numpy.
    channel : int
        The channel to segment.
    cell_diameter : float, optional
        Typical diameter of an object in pixels; by default that of the disc which is as thick as
        the median object above the threshold, by its largest distance to the background.
    smoothing : float, optional
        Standard deviation of the Gaussian in pixels; a tenth of the diameter by default.
    threshold : str or float
        ``li``, ``otsu`` or ``triangle`` of each smoothed plane, or a value in its unit.
    expansion_factor : float
        Objects are grown at last by so many diameters, as far as there is room.

    Returns
    -------
    ndarray of int32, shape (batch.planes[-1],)
        Labels 1, 2, ... of each field in raster order of their seeds, 0 elsewhere.

    Raises
    ------
    UserError
        A setting is out of its range; ``xp`` is not numpy.

    References
    ----------
    Beucher and Lantuéjoul, "Use of watersheds in contour detection", 1979; Vincent and Soille,
    IEEE Trans. Pattern Analysis and Machine Intelligence 13(6), 1991.
    """
    require_numpy(xp, "watershed")
    check_settings(cell_diameter, smoothing, expansion_factor)
    labels = np.empty(batch.planes[-1], np.int32)
    for i, image in enumerate(batch):
        plane = labels[batch.planes[i] : batch.planes[i + 1]].reshape(image.shape[1:])
        plane[:], _ = field_objects(
            image[channel], cell_diameter, smoothing, threshold, expansion_factor
        )
    return labels


def check_settings(
    cell_diameter: float | None, smoothing: float | None, expansion_factor: float
) -> None:
    """Refuse settings that are out of their range, by `UserError`."""
    for name, value in (("cell_diameter", cell_diameter), ("smoothing", smoothing)):
        if value is not None and not (0 < value < math.inf or (value == 0 and name[0] == "s")):
            raise UserError(f"segment: settings.{name} must be greater than 0, found {value:g}")
    if not 0 <= expansion_factor < math.inf:
        raise UserError(
            f"segment: settings.expansion_factor must be 0 or more, found {expansion_factor:g}"
        )


def first_sigma(diameter: float | None, smoothing: float | None) -> float:
    """Standard deviation of the first Gaussian; 0 for none."""
    return smoothing if smoothing is not None else SMOOTHING * (diameter or 0.0)


def least_size(diameter: float) -> float:
    """Pixels of the smallest object."""
    return math.pi / 4 * (SMALLEST * diameter) ** 2


def seed_distance(diameter: float) -> int:
    """Least distance of two seeds of a component, in pixels."""
    return max(1, round(SEED_DISTANCE * diameter))


def typical_diameter(thickness: FloatArray) -> float:
    """Twice the median over components of the largest distance to the background; 1 at least."""
    return max(1.0, 2 * float(np.median(thickness))) if len(thickness) else 1.0


def expanded(labels: NDArray[Any], diameter: float, factor: float) -> NDArray[Any]:
    """Labels grown by so many diameters, as far as there is room."""
    if not factor:
        return labels
    from skimage.segmentation import expand_labels

    return expand_labels(labels, diameter * factor)


def field_objects(
    plane: NDArray[Any],
    cell_diameter: float | None = None,
    smoothing: float | None = None,
    threshold: str | float = "li",
    expansion_factor: float = 0.0,
) -> tuple[NDArray[np.int32], Int64Array]:
    """Labels of one plane as of `watershed`, and where their seeds are in it, in raster order."""
    diameter = cell_diameter
    mask = _above(plane, first_sigma(diameter, smoothing), threshold)
    # Uncompiled: numpy asks for large pages for large arrays, numba does not.
    scratch = run_scratch.py_func(*mask.shape)
    fill_holes(mask, *scratch)
    if diameter is None:
        diameter = typical_diameter(_thickness(*label_plane(mask, scratch)))
    parts, count = label_plane(mask, scratch, least_size(diameter))
    del mask, scratch
    depth = smooth_plane(bounded_distance(parts > 0), SEED_SMOOTHING * diameter)
    found = seeds(depth, parts, seed_distance(diameter))
    places = np.flatnonzero(found)
    _fill(found, places, parts, depth, count)
    return expanded(found, diameter, expansion_factor), places


def smoothed(plane: NDArray[Any], sigma: float) -> FloatArray:
    """The plane that the threshold is of."""
    return smooth_plane(plane, sigma) if sigma else plane.astype(np.float64)


def _above(plane: NDArray[Any], sigma: float, threshold: str | float) -> UInt8Array:
    """1 where the smoothed plane is above the threshold, 0 elsewhere."""
    smooth = smoothed(plane, sigma)
    return (smooth > _threshold(smooth, threshold)).view(np.uint8)


def _fill(
    found: NDArray[np.int32],
    places: Int64Array,
    parts: NDArray[np.int32],
    depth: FloatArray,
    count: int,
) -> None:
    """Grow the seeds over their components: all of one that has no other, else by flooding."""
    of = parts.ravel()[places]
    several = np.bincount(of, minlength=count + 1) > 1
    number = np.zeros(count + 1, np.int32)
    number[of] = found.ravel()[places]
    number[several] = 0
    if several.any():
        shared = several[parts]
        grown = np.where(shared, found, np.int32(0))
        flood_parts(-depth, grown, parts)
        found[shared] = grown[shared]
    _paint(found, parts, number)


@njit(cache=True, nogil=True, error_model="numpy")
def _paint(found, parts, number):
    """Give all pixels of the components that have a number their number."""
    h, w = found.shape
    for y in range(h):
        for x in range(w):
            if number[parts[y, x]]:
                found[y, x] = number[parts[y, x]]


def bounded_distance(mask: NDArray[np.bool_]) -> FloatArray:
    """Distance to the background; where there is none at all, the same everywhere."""
    return distance(mask, sum(mask.shape))


def _threshold(plane: FloatArray, threshold: str | float) -> float:
    if not isinstance(threshold, str):
        return float(threshold)
    edges = np.linspace(plane.min(), plane.max(), 257)
    if not (np.diff(edges) > 0).all():
        # Nothing stands out: the pixels are equal but for rounding, or their range overflows.
        return float(plane.max())
    if threshold == "li":
        return float(li_threshold(plane, *plane.shape, np.empty((3, plane.size))))
    from skimage import filters

    return float(getattr(filters, f"threshold_{threshold}")(plane))


def _thickness(parts: NDArray[np.int32], count: int) -> FloatArray:
    """The largest distance of each component to the background."""
    thickness = np.zeros(count + 1)
    np.maximum.at(thickness, parts, bounded_distance(parts > 0))
    return thickness[1:]
