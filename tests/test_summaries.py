"""Sums of whole images against numpy and rational arithmetic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from cells import jurkat_files
from every_dtype import DTYPES, images, mean_of

from scip_mpi.batches import ImageBatch
from scip_mpi.summaries import image_summary


def summary_of(batch: ImageBatch, mask: np.ndarray, levels: np.ndarray) -> dict[str, np.ndarray]:
    """Of images that were not corrected, with a mask for each channel."""
    foreground = replace(batch, pixels=mask)
    return image_summary(batch, batch, foreground, np.arange(batch.channels), levels)


def difference_rms(image: np.ndarray) -> float:
    """Root mean square of the differences of neighbouring pixels."""
    steps = [np.diff(image, axis=axis).reshape(-1) for axis in (0, 1)]
    steps = np.concatenate(steps)
    return float(np.sqrt(np.mean(steps**2))) if len(steps) else 0.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_summary_of_images(dtype: str) -> None:
    batch = ImageBatch.from_images(images(dtype))
    levels = np.array([100.0, np.inf])
    mask = np.random.default_rng(6).integers(0, 2, batch.pixels.size).astype(np.uint8)
    found = summary_of(batch, mask, levels)
    masks = ImageBatch(mask, batch.offsets, batch.shapes, batch.index)
    for i, image in enumerate(batch):
        for c in (0, 1):
            x = image[c].astype(np.float64)
            assert found["saturated"][i, c] == (x >= levels[c]).mean()
            assert found["focus"][i, c] == pytest.approx(difference_rms(x), rel=1e-12)
            outside = x[masks.image(i)[c] == 0]
            want = mean_of(outside) if len(outside) else np.nan
            scale = np.abs(x).max()
            assert found["background"][i, c] == pytest.approx(want, abs=1e-13 * scale, nan_ok=True)
    assert (found["saturated"][:, 0] > 0).any()
    assert (found["saturated"][:, 1] == 0).all()
    # One plane of labels for all channels says the same as a mask for each.
    plane = np.arange(batch.planes[-1], dtype=np.int32) % 3
    shapes = batch.shapes * [0, 1, 1] + [1, 0, 0]
    labels = ImageBatch(plane, batch.planes, shapes, batch.index)
    channels = [np.repeat(image, batch.channels, axis=0).ravel() for image in labels]
    shared = image_summary(batch, batch, labels, np.zeros(batch.channels, np.int64), levels)
    for name, values in summary_of(batch, np.concatenate(channels), levels).items():
        np.testing.assert_array_equal(shared[name], values)


def test_no_images() -> None:
    batch = ImageBatch.from_images([])
    assert summary_of(batch, batch.pixels, np.full(3, 255.0))["focus"].shape == (0, 3)


def test_real_cells_in_any_batch(shared_dir) -> None:
    cells = [tifffile.imread(f) for f in jurkat_files(shared_dir, 14)]
    whole = ImageBatch.from_images(cells)
    levels = np.full(whole.channels, np.percentile(whole.pixels, 99))
    summary = summary_of(whole, whole.pixels > 500, levels)
    for i, cell in enumerate(cells):
        one = ImageBatch.from_images([cell])
        for name, values in summary_of(one, one.pixels > 500, levels).items():
            assert values.tobytes() == summary[name][i : i + 1].tobytes()
        assert summary["focus"][i, 1] == pytest.approx(difference_rms(cell[1].astype(float)))
