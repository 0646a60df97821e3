"""SCIP's flooding of the gradient from what is certain (mask method ``watershed``)."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array
from scip_mpi.errors import UserError
from scip_mpi.segmentation.planes import require_numpy

SMALLEST_HOLE = 300
SMALLEST_OBJECT = 20


def watershed(
    batch: ImageBatch, enabled: BoolArray, xp: ModuleType, *, noisy_channels: Sequence[int] = ()
) -> UInt8Array:
    """Masks by compact watershed of the gradient, SCIP's ``watershed``.

    Non-local means of the noisy channels; Sobel magnitude, closed with a disc of radius 2; with t
    its Otsu threshold, flooding from the pixels below t / 2 (background) and above 3 t / 2; then
    holes below 300 pixels are filled, the mask is grown by a pixel and objects below 20 pixels are
    removed. Each plane goes through scikit-image.

    Parameters
    ----------
    batch : ImageBatch
        Images.
    enabled : ndarray of bool, shape (n, C)
        Channels to segment; the masks of others are empty.
    xp : module
        numpy.
    noisy_channels : sequence of int
        Places of the channels to denoise.

    Returns
    -------
    ndarray of uint8
        Masks in the batch's layout.

    Raises
    ------
    UserError
        A noisy channel does not exist; ``xp`` is not numpy.

    References
    ----------
    Neubert and Protzel, "Compact watershed and preemptive SLIC", ICPR 2014; Buades, Coll and Morel,
    "A non-local algorithm for image denoising", CVPR 2005.
    """
    require_numpy(xp, "watershed")
    masks = np.zeros(batch.pixels.size, np.uint8)
    wrong = [c for c in noisy_channels if c < 0 or (len(batch) and c >= batch.channels)]
    if wrong:
        raise UserError(
            f"mask.methods: watershed: kwargs.noisy_channels: no channel {wrong[0]}; the images "
            f"have {batch.channels}"
        )
    for i, planes in enumerate(ImageBatch(masks, batch.offsets, batch.shapes, batch.index)):
        image = batch.image(i)
        for c in np.flatnonzero(enabled[i]):
            planes[c] = _mask(image[c].astype(np.float64), c in noisy_channels)
    return masks


def _mask(plane: NDArray[Any], noisy: bool) -> NDArray[np.bool_]:
    from scipy import ndimage
    from skimage import filters, measure, restoration, segmentation
    from skimage.morphology import closing, disk

    if noisy:
        plane = restoration.denoise_nl_means(plane, patch_size=2, patch_distance=1)
    gradient = closing(filters.sobel(plane), disk(2))
    if gradient.min() == gradient.max() or not np.isfinite(gradient).all():
        return np.zeros(plane.shape, bool)
    level = filters.threshold_otsu(gradient)
    markers = np.zeros(plane.shape, np.int32)
    markers[gradient < 0.5 * level] = 1
    markers[gradient > 1.5 * level] = 2
    mask = segmentation.watershed(gradient, markers, compactness=1) == 2
    holes, count = ndimage.label(~mask)
    mask |= _small(holes, count, SMALLEST_HOLE)
    mask = ndimage.binary_dilation(mask)
    parts = measure.label(mask, connectivity=1)
    return mask & ~_small(parts, int(parts.max()), SMALLEST_OBJECT)


def _small(labels: NDArray[Any], count: int, limit: int) -> NDArray[np.bool_]:
    """Pixels of the labels that have fewer pixels than ``limit``."""
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    small = sizes < limit
    small[0] = False
    return small[labels]
