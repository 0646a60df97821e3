"""Crops as pictures, masks as outlines."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from scip_mpi.report.crops import Crop
from scip_mpi.report.galleries import Cell
from scip_mpi.report.outlines import BESIDE, GAP, grey, outline, png, shrink_by, smaller, strip
from scip_mpi.report.pictures import contrast_of, draw


def walked(path: str) -> set[tuple[tuple[float, float], tuple[float, float]]]:
    """The unit steps of a path, each from its smaller end."""
    steps = set()
    for x, y, word, length in re.findall(r"M(\S+) ([\d.]+)([hv])([\d.]+)", path):
        for k in range(int(float(length))):
            start = (float(x) + k * (word == "h"), float(y) + k * (word == "v"))
            end = (start[0] + (word == "h"), start[1] + (word == "v"))
            steps.add((start, end))
    return steps


def test_an_outline_is_every_edge_between_mask_and_no_mask() -> None:
    mask = np.random.default_rng(0).random((7, 9)) > 0.5
    padded = np.pad(mask, 1)
    edges = set()
    for y in range(1, 9):
        for x in range(1, 11):
            if padded[y, x] != padded[y - 1, x]:
                edges.add(((x - 1.0, y - 1.0), (float(x), y - 1.0)))
            if padded[y, x] != padded[y, x - 1]:
                edges.add(((x - 1.0, y - 1.0), (x - 1.0, float(y))))
    assert walked(outline(mask.astype(np.uint8), 1, 0, 0)) == edges
    assert outline(np.zeros((3, 3), np.uint8), 1, 0, 0) == ""


def test_labels_that_touch_have_a_border_between_them() -> None:
    labels = np.array([[1, 1, 2], [1, 1, 2]], np.int32)
    between = {((2.0, 0.0), (2.0, 1.0)), ((2.0, 1.0), (2.0, 2.0))}
    assert walked(outline(labels, 1, 0, 0)) - walked(outline(labels > 0, 1, 0, 0)) == between


def test_an_outline_is_scaled_and_moved() -> None:
    mask = np.zeros((6, 6), np.uint8)
    mask[2:4, 0:6] = 1
    path = outline(mask, 0.5, 10, 20)
    assert set(re.findall(r"M\S+ \S+?[hv]\S+?(?=M|$)", path)) == {
        "M20 11h3", "M20 12h3", "M20 11v1", "M23 11v1"
    }  # fmt: skip


def test_grey_levels_reach_from_black_to_white() -> None:
    values = np.array([[-5.0, 0.0, 50.0, 100.0, 500.0, np.nan]])
    assert grey(values, 0, 100).tolist() == [[0, 0, 128, 255, 255, 0]]
    assert grey(values, 3, 3).shape == (1, 6)


def test_smaller_pictures_are_means() -> None:
    plane = np.arange(15, dtype=np.uint16).reshape(3, 5)
    assert smaller(plane, 2).tolist() == [[3.0, 5.0, 6.5], [10.5, 12.5, 14.0]]
    assert shrink_by((3, 40, 40)) == 1
    assert shrink_by((12, 300, 300)) == 5


def test_channels_stand_side_by_side_each_in_its_tile() -> None:
    pixels = np.stack([np.full((3, 2), 0), np.full((3, 2), 10)])
    made = strip(pixels, np.array([[0.0, 10.0], [0.0, 10.0]]), 1, (5, 4))
    assert made.shape == (5, 2 * 4 + GAP)
    assert (made[1:4, 1:3] == 0).all()
    assert (made[1:4, 4 + GAP + 1 : 4 + GAP + 3] == 255).all()
    assert (made == BESIDE).sum() == made.size - 12


def test_a_picture_is_a_png_that_anybody_reads() -> None:
    image = np.arange(200, dtype=np.uint8).reshape(10, 20)
    head, _, body = png(image).partition(",")
    assert head == "data:image/png;base64"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(body)))), image)


def crop(shape: tuple[int, int, int], value: int) -> Crop:
    mask = np.ones((1, *shape), np.uint8)
    return Crop(np.full(shape, value), mask, np.array([True]), np.array([False]))


def test_cells_of_a_gallery_have_one_scale_and_outlines_lie_on_them() -> None:
    cells = [(Cell(0, 1, "a"), crop((2, 10, 6), 5)), (Cell(1, 1, "b"), crop((2, 4, 8), 5))]
    first, second = draw(cells, np.array([[0.0, 10.0]] * 2), ["li"])
    assert (first.width, first.height) == (second.width, second.height) == (2 * 8 + GAP, 10)
    # A crop of 6 columns in a tile of 8; one of 4 rows in a tile of 10.
    assert first.outlines["li"].startswith("M1 0h6")
    assert second.outlines["li"].startswith("M0 3h8")
    assert draw([], np.zeros((2, 2)), ["li"]) == []


def test_contrast_is_of_all_cells() -> None:
    crops = [crop((1, 10, 10), k) for k in range(101)]
    low, high = contrast_of(crops, 1)[0]
    assert (low, high) == (pytest.approx(0, abs=1), pytest.approx(100, abs=1))
    blind = Crop(
        np.full((2, 3, 3), np.nan), np.ones((1, 2, 3, 3), np.uint8), *[np.ones(1, bool)] * 2
    )
    assert contrast_of([blind], 2).tolist() == [[0.0, 1.0], [0.0, 1.0]]
    assert contrast_of([], 2).tolist() == [[0.0, 1.0], [0.0, 1.0]]
