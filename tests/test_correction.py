"""Offset and compensation against numpy, and spillover matrices as people write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scip_mpi.batches import ImageBatch
from scip_mpi.correction import Correction, read_spillover, unmixing
from scip_mpi.errors import UserError

NAMES = ["BF", "FITC", "PE"]
SPILL = np.array([[1, 0, 0], [0, 1, 0.25], [0, 0.1, 1]])


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["u1", "u2", "i2", "f4", "f8"]), st.integers(0, 2**32 - 1))
def test_pixels_are_unmixed(dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 127, (3, h, w)).astype(dtype) for h, w in ((4, 5), (1, 1), (1, 7))]
    offset = rng.uniform(0, 50, 3)
    correction = Correction(offset, unmixing(SPILL))
    found = correction(ImageBatch.from_images(images, [3, 4, 9]))
    assert found.pixels.dtype == np.float32
    assert found.index.tolist() == [3, 4, 9]
    for i, image in enumerate(images):
        flat = image.reshape(3, -1).astype(np.float64) - offset[:, np.newaxis]
        want = np.linalg.solve(SPILL.T, flat).reshape(image.shape)
        np.testing.assert_allclose(found.image(i), want, rtol=1e-5, atol=1e-4)


def test_what_spilled_goes_back() -> None:
    true = np.random.default_rng(0).uniform(0, 1000, (3, 6, 6))
    seen = np.einsum("ij,ihw->jhw", SPILL, true)
    # FITC's own signal is seen in PE at a quarter.
    assert seen[2, 0, 0] == pytest.approx(true[2, 0, 0] + 0.25 * true[1, 0, 0])
    found = Correction(np.zeros(3), unmixing(SPILL))(ImageBatch.from_images([seen]))
    np.testing.assert_allclose(found.image(0), true, rtol=1e-5, atol=1e-3)


def test_negative_values_are_kept() -> None:
    dark = ImageBatch.from_images([np.zeros((3, 2, 2), np.uint16)])
    found = Correction(np.array([5.0, 7.0, 0.0]), np.eye(3))(dark)
    assert found.image(0)[:, 0, 0].tolist() == [-5, -7, 0]


def test_a_matrix_by_name_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "spill.csv"
    path.write_text(", PE, FITC\nFITC, 0.25, 1\nPE, 1, 0.1\n")
    np.testing.assert_array_equal(read_spillover(str(path), NAMES), SPILL)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,FITC\nPE,1\n", "rows and columns must name the same channels"),
        ("x,FITC,FITC\nFITC,1,1\n", "once each"),
        ("x,APC\nAPC,1\n", "no channel is called 'APC'; the channels are BF, FITC, PE"),
        ("x,FITC,PE\nFITC,1,a lot\nPE,0,1\n", "no number"),
        ("x,FITC,PE\nFITC,1,\nPE,0,1\n", "empty or infinite"),
        ("", "cannot be read"),
        (None, "No such file"),
    ],
)
def test_matrices_that_cannot_be_used(text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "spill.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=message) as raised:
        read_spillover(str(path), NAMES)
    assert "spill.csv" in str(raised.value)


def test_a_matrix_that_cannot_be_undone() -> None:
    with pytest.raises(UserError, match="not independent"):
        unmixing(np.array([[1.0, 1.0], [1.0, 1.0]]))
