"""Haralick's features, against their definitions and against mahotas's values."""

from __future__ import annotations

import grey_twins
import numpy as np
import pytest
from grey_twins import ANGLES
from hypothesis import given, settings
from hypothesis import strategies as st
from test_families import masked_cells, odd_images

from scip_mpi.errors import UserError
from scip_mpi.features import haralick
from scip_mpi.features.haralick import NAMES, WORDS

EVERY = ("mean", "range", "merged", *ANGLES)


def expected(levels: np.ndarray, distance: int, number: int) -> dict[str, list[float]]:
    """Each statistic's 25 features."""

    def of(counts: np.ndarray) -> list[float]:
        return [*grey_twins.haralick(counts), *grey_twins.further(counts, number)]

    matrices = {a: grey_twins.cooccurrence(levels, a, distance) for a in ANGLES}
    found = {a: of(m) for a, m in matrices.items()}
    every = np.array(list(found.values()))
    some = [column[~np.isnan(column)] for column in every.T]
    found["mean"] = [v.mean() if len(v) else np.nan for v in some]
    found["range"] = [np.ptp(v) if len(v) else np.nan for v in some]
    found["merged"] = of(np.sum(list(matrices.values()), axis=0))
    return found


def check(image: np.ndarray, mask: np.ndarray, number: int) -> None:
    everything = {"distances": [1, 3], "statistics": EVERY, "features": WORDS}
    family = haralick.select(levels=number, mask="own", **everything)
    ours = family.measure([image], [mask])
    for c, (plane, own) in enumerate(zip(image, mask, strict=True)):
        levels = grey_twins.levels_of(plane, own, number) if own.any() else own.astype(int)
        for distance, word in ((1, ""), (3, "_d3")):
            for over, values in expected(levels, distance, number).items():
                for name, value in zip(WORDS, values, strict=True):
                    found = ours[f"haralick_{name}_{over}{word}_{c}"][0]
                    # The root, and the third power, of what rounding leaves of 0.
                    near = {"information_correlation_2": 1e-6, "cluster_shade": 1e-12 * number**3}
                    close = pytest.approx(value, rel=1e-9, abs=near.get(name, 1e-9), nan_ok=True)
                    assert found == close, (name, over, distance)


def whole(image: np.ndarray) -> bool:
    return image.dtype.kind in "iu"


@settings(max_examples=60, deadline=None)
@given(odd_images().filter(lambda d: whole(d[0])), st.sampled_from([2, 5, 256]))
def test_odd_images(drawn: tuple[np.ndarray, np.ndarray], number: int) -> None:
    check(*drawn, number)


@settings(max_examples=25, deadline=None)
@given(masked_cells().filter(lambda d: whole(d[0])), st.sampled_from([4, 32, 100]))
def test_any_mask_on_any_pixels(drawn: tuple[np.ndarray, np.ndarray], number: int) -> None:
    check(*drawn, number)


def test_one_level_has_no_correlation() -> None:
    found = haralick.measure([np.full((5, 5), 9, np.uint8)])
    undefined = {n.rsplit("_", 2)[0] for n, v in found.items() if np.isnan(v[0])}
    assert undefined == {"haralick_correlation", "haralick_information_correlation_1"}
    assert found["haralick_angular_second_moment_mean_0"][0] == 1
    assert found["haralick_joint_entropy_mean_0"][0] == 0


def test_angles_without_a_pair_do_not_count() -> None:
    row = np.array([[3, 4, 3, 9, 4]], np.uint8)
    found = haralick.select(statistics=EVERY).measure([row])
    for name, _ in NAMES:
        values = {s: found[f"haralick_{name}_{s}_0"][0] for s in EVERY}
        assert np.isnan([values["45deg"], values["90deg"], values["135deg"]]).all()
        assert values["mean"] == values["merged"] == values["0deg"]
        assert values["range"] == 0


def test_features_by_name() -> None:
    names = ["joint_maximum", "contrast"]
    found = haralick.select(features=names).measure([np.eye(4, dtype=np.uint8)])
    kept = ["contrast", "joint_maximum"]
    assert list(found) == [f"haralick_{n}_{s}_0" for n in kept for s in ("mean", "range")]
    every = haralick.select(features=WORDS).measure([np.eye(4, dtype=np.uint8)])
    assert all(every[n].tobytes() == v.tobytes() for n, v in found.items())


def test_columns_have_the_distance_in_their_name_unless_it_is_one() -> None:
    family = haralick.select(distances=[3, 1], statistics=["90deg"], channels=[1])
    names = [f.name for f in family.features(["A", "B"])]
    assert names[:2] == [
        "haralick_angular_second_moment_90deg_B", "haralick_angular_second_moment_90deg_d3_B"
    ]  # fmt: skip
    assert len(names) == 26
    assert len(haralick.FAMILY.features(["A", "B"])) == 52


@pytest.mark.parametrize(
    "wrong", [{"distances": []}, {"distances": [0]}, {"distances": [65]}, {"statistics": ["std"]}]
)
def test_strange_settings_are_refused(wrong: dict[str, list[int]]) -> None:
    with pytest.raises(UserError):
        haralick.select(**wrong)
