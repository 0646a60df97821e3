"""Real cells with masks, and one labelled picture of them all, as CellProfiler takes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

EACH = 100


@dataclass(frozen=True)
class Cells:
    """Cells, as crops and side by side.

    Attributes
    ----------
    images : list of ndarray, shape (3, H, W)
    masks : list of ndarray of bool, shape (H, W)
    picture : ndarray of float64, shape (3, rows, columns)
        0 outside of the masks, between which there is a gap.
    labels : ndarray of int32, shape (rows, columns)
        Label k + 1 is cell k.
    """

    images: list[NDArray[np.uint16]]
    masks: list[NDArray[np.bool_]]
    picture: NDArray[np.float64]
    labels: NDArray[np.int32]


def real_cells(shared_dir: Path) -> Cells:
    """100 cells of an imaging flow cytometer and 100 nuclei of a field."""
    images, masks = [], []
    flow = sorted((shared_dir / "data" / "jurkat_ifc" / "experiment1").glob("*/*.tiff"))
    for file in flow[:: len(flow) // EACH][:EACH]:
        image = tifffile.imread(file)
        mask = image[1] > threshold_otsu(image[1])
        if len(images) % 3 == 0:
            # All of the cell: what stands out of the bright field, holes and crumbs with it.
            away = np.abs(image[0] - np.median(image[0]))
            mask |= away > threshold_otsu(away)
        images.append(image)
        masks.append(mask)
    folder = shared_dir / "data" / "cp_example_human" / "images"
    field = np.stack([tifffile.imread(f).astype(np.uint16) for f in sorted(folder.glob("*.tif"))])
    smooth = ndimage.gaussian_filter(field[0].astype(float), 1)
    labels, _ = ndimage.label(smooth > threshold_otsu(smooth))
    sizes = np.bincount(labels.reshape(-1))
    whole = [k for k in range(1, len(sizes)) if sizes[k] >= 60][:EACH]
    boxes = ndimage.find_objects(labels)
    for k in whole:
        # Tight around the nucleus: its neighbours' pixels are in the crop, and do not count.
        images.append(field[(slice(None), *boxes[k - 1])])
        masks.append(labels[boxes[k - 1]] == k)
    return Cells(images, masks, *side_by_side(images, masks))


def side_by_side(
    images: list[NDArray[np.uint16]], masks: list[NDArray[np.bool_]], across: int = 16
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """One picture of all masks' pixels, and their labels."""
    tall = max(m.shape[0] for m in masks) + 2
    wide = max(m.shape[1] for m in masks) + 2
    down = -(-len(masks) // across)
    picture = np.zeros((len(images[0]), down * tall, across * wide))
    labels = np.zeros(picture.shape[1:], np.int32)
    for k, (image, mask) in enumerate(zip(images, masks, strict=True)):
        y, x = k // across * tall + 1, k % across * wide + 1
        h, w = mask.shape
        picture[:, y : y + h, x : x + w] = image * mask
        labels[y : y + h, x : x + w][mask] = k + 1
    return picture, labels
