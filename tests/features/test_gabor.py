"""Responses to Gabor filters, against convolution with scikit-image's."""

from __future__ import annotations

import filter_twins
import numpy as np
import pytest
from grey_twins import ANGLES
from hypothesis import given, settings
from test_families import masked_cells, odd_images

from scip_mpi.errors import UserError
from scip_mpi.features import gabor


def check(image: np.ndarray, mask: np.ndarray) -> None:
    waves = (3, 5)
    every = ("mean", "range", *ANGLES)
    family = gabor.select(mask="own", wavelengths=waves, statistics=every)
    ours = family.measure([image], [mask])
    for c, (plane, own) in enumerate(zip(image, mask, strict=True)):
        for wave in waves:
            at = {a: filter_twins.gabor(plane, own, wave, a) for a in ANGLES}
            values = np.array(list(at.values()))
            expected = {"mean": values.mean(), "range": np.ptp(values), **at}
            size = 1e-12 * max(float(np.abs(plane.astype(float)).max()), 1.0)
            for s in every:
                found = ours[f"gabor_{s}_w{wave}_{c}"][0]
                assert found == pytest.approx(expected[s], rel=1e-8, abs=size, nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(odd_images())
def test_odd_images(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    check(*drawn)


@settings(max_examples=15, deadline=None)
@given(masked_cells())
def test_any_mask_on_any_pixels(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    check(*drawn)


def test_waves_are_found_by_their_length_and_angle() -> None:
    family = gabor.select(statistics=ANGLES)
    rows, columns = np.mgrid[:48, :48]
    for wave in (4, 8):
        for angle in ANGLES:
            turn = np.deg2rad(float(angle.removesuffix("deg")))
            along = columns * np.cos(turn) - rows * np.sin(turn)
            found = family.measure([100 * np.cos(2 * np.pi * along / wave)])
            assert max(found, key=lambda n: found[n][0]) == f"gabor_{angle}_w{wave}_0"


@pytest.mark.parametrize(
    "wrong",
    [{"wavelengths": [1]}, {"wavelengths": []}, {"statistics": ["merged"]}, {"mask": "none"}],
)
def test_strange_settings_are_refused(wrong: dict[str, list[str]]) -> None:
    with pytest.raises(UserError):
        gabor.select(**wrong)
