"""Colocalization against NumPy and SciPy; Costes' thresholds against a plain search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from odd_cells import Image, few_cells, odd_cells
from scipy import stats

from scip_mpi.errors import UserError
from scip_mpi.features import colocalization
from scip_mpi.features.costes import costes

ALL = colocalization.MEASURES


def twin(x: np.ndarray, y: np.ndarray, threshold: float = 15) -> dict[str, float]:
    """By the definitions in the family's docstring."""
    names = [n for m in colocalization.USUAL for n, _ in colocalization.COLUMNS[m]]
    found = dict.fromkeys(names, np.nan)
    if not len(x):
        return found
    above_x, above_y = (v >= threshold / 100 * v.max() for v in (x, y))
    both = above_x & above_y
    if np.ptp(x) and np.ptp(y):
        found["pearson"] = np.corrcoef(x, y)[0, 1]
    if np.ptp(x):
        found["slope"] = np.cov(x, y)[0, 1] / np.var(x, ddof=1)
    ranks = [stats.rankdata(v, method="dense") - 1 for v in (x, y)]
    most = max(r.max() for r in ranks) + 1
    weight = (most - np.abs(ranks[0] - ranks[1])) / most
    for k, (values, above) in enumerate(((x, above_x), (y, above_y)), start=1):
        whole = values[above].sum()
        if whole:
            found[f"manders_{k}"] = values[both].sum() / whole
            found[f"rwc_{k}"] = (values * weight)[both].sum() / whole
        if (values[both] ** 2).sum():
            found[f"k_{k}"] = (x * y)[both].sum() / (values[both] ** 2).sum()
    squares = (x[both] ** 2).sum() * (y[both] ** 2).sum()
    if squares:
        found["overlap"] = (x * y)[both].sum() / np.sqrt(squares)
    return found


@settings(max_examples=150, deadline=None)
@given(odd_cells(channels=2))
def test_any_pixels_in_any_mask(drawn: tuple[Image, np.ndarray]) -> None:
    image, mask = drawn
    ours = colocalization.measure([image], [mask], ["A", "B"])
    x, y = image[:, mask].astype(float)
    with np.errstate(all="ignore"):
        theirs = twin(x, y)
    for name, value in theirs.items():
        found = ours[f"coloc_{name}_A_B"][0]
        if name in ("pearson", "slope") or image.min(initial=0) >= 0:
            assert np.isclose(found, value, rtol=1e-6, atol=1e-9, equal_nan=True), name


def test_three_pixels_by_hand() -> None:
    image = np.array([[[10, 20, 1]], [[4, 1, 20]]], np.uint16)
    found = colocalization.measure([image], None, ["A", "B"])
    # Thresholds are 3: both are above in the first pixel alone; ranks 1, 2, 0 and 1, 0, 2.
    assert found["coloc_manders_1_A_B"][0] == pytest.approx(10 / 30)
    assert found["coloc_manders_2_A_B"][0] == pytest.approx(4 / 24)
    assert found["coloc_overlap_A_B"][0] == pytest.approx(1)
    assert found["coloc_k_1_A_B"][0] == pytest.approx(0.4)
    assert found["coloc_k_2_A_B"][0] == pytest.approx(2.5)
    assert found["coloc_rwc_1_A_B"][0] == pytest.approx(10 / 30)


def test_no_pixel_above_both_thresholds() -> None:
    image = np.array([[[20, 1]], [[1, 20]]], np.uint16)
    found = {k[6:-4]: v[0] for k, v in colocalization.measure([image], None, ["A", "B"]).items()}
    assert found["manders_1"] == found["rwc_2"] == 0
    assert np.isnan([found["overlap"], found["k_1"], found["k_2"]]).all()


def test_measures_are_the_same_alone() -> None:
    images, masks = few_cells()
    whole = colocalization.select(measures=ALL).measure(images, masks, ["A", "B"])
    parts: dict[str, np.ndarray] = {}
    for measure in ALL:
        parts |= colocalization.select(measures=[measure]).measure(images, masks, ["A", "B"])
    assert list(parts) == list(whole)
    assert all(whole[name].tobytes() == parts[name].tobytes() for name in whole)


def test_pairs() -> None:
    images, masks = few_cells(channels=4)
    names = list("ABCD")
    whole = colocalization.measure(images, masks, names)
    assert len(whole) == 6 * 9
    some = colocalization.select(channels=[3, 0, 1]).measure(images, masks, names)
    assert [n for n in some if "pearson" in n] == [
        "coloc_pearson_A_B", "coloc_pearson_A_D", "coloc_pearson_B_D",
    ]  # fmt: skip
    listed = colocalization.select(pairs=[[0, 2], [2, 0]]).measure(images, masks, names)
    for columns in (some, listed):
        for name in set(columns) & set(whole):
            assert columns[name].tobytes() == whole[name].tobytes()
    swapped = {"manders_1": "manders_2", "k_1": "k_2", "rwc_1": "rwc_2", "pearson": "pearson"}
    for name, other in swapped.items():
        a, b = listed[f"coloc_{name}_A_C"], listed[f"coloc_{other}_C_A"]
        assert np.allclose(a, b, rtol=1e-12)


def test_pairs_that_would_be_called_the_same() -> None:
    with pytest.raises(UserError, match="other names"):
        colocalization.FAMILY.features(["A", "A_B", "B_C", "C"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pairs": []}, "empty"),
        ({"pairs": [[0, 1, 2]]}, "two channels"),
        ({"pairs": [[0, 1]], "channels": [0, 1]}, "not both"),
        ({"measures": ["some"]}, "unknown measure"),
        ({"threshold": 100.0}, "threshold"),
        ({"costes_top": 0.0}, "costes_top"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        colocalization.select(**wrong)  # type: ignore[arg-type]


def bisection(x: np.ndarray, y: np.ndarray, steps: int) -> tuple[float, float]:
    """Parts above Costes' thresholds, by SciPy's correlations; pixels from 0 to 1."""
    some = (x > 0) | (y > 0)
    xx, yy = x[some].var(), y[some].var()
    xy = np.cov(x[some], y[some], ddof=0)[0, 1]
    slope = (yy - xx + np.sqrt((yy - xx) ** 2 + 4 * xy**2)) / (2 * xy)
    offset = y[some].mean() - slope * x[some].mean()
    left, right, last, valid = 1.0, float(steps), 0.0, np.nan
    middle = (right - left) // 1.2 + left
    while middle != last:
        limit = middle / steps
        below = (x < limit) | (y < slope * limit + offset)
        r = np.nan
        if below.sum() > 2 and np.ptp(x[below]) and np.ptp(y[below]):
            r = stats.pearsonr(x[below], y[below])[0]
        if not r >= 0:
            left = middle - 1
        else:
            right, valid = middle + 1, middle
        last, middle = middle, (right - left) // (1.2 if right - left > 6 else 2) + left
    limit = (valid - 1) / steps
    below = (x < limit) | (y < slope * limit + offset)
    if below.sum() < 3 or not np.ptp(x[below]) or not np.ptp(y[below]):
        return np.nan, np.nan
    both = (x > limit) & (y > slope * limit + offset)
    return (
        x[both].sum() / x[x >= limit].sum(),
        y[both].sum() / y[y >= slope * limit + offset].sum(),
    )


def test_costes() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for k in range(60):
        n = int(rng.integers(5, 300))
        signal = np.round(rng.gamma(1, 300, n) * (rng.random(n) < 0.4))
        x = np.round(signal + rng.integers(0, 200, n)).clip(0, 4095)
        y = np.round(signal * rng.uniform(0.3, 2) + rng.integers(0, 200, n)).clip(0, 4095)
        ours = costes(x, y, 4095.0, 4095)
        theirs = bisection(x / 4095, y / 4095, 4095)
        assert np.allclose(ours, theirs, rtol=1e-9, equal_nan=True), k
        inside += 0 < ours[0] < 1
    assert inside > 30


def test_costes_where_there_is_none() -> None:
    line = np.arange(10.0)
    for x, y in (
        (line[:2], line[:2]),
        (line, np.full(10, 3.0)),
        (line, -line),
        (line, np.where(line == 0, np.nan, line)),
        (line * 1000, line),
        (np.tile([1.0, 1, 2, 2], 3), np.tile([1.0, 2, 1, 2], 3)),
    ):
        assert np.isnan(costes(x, y, 4095.0, 4095)).all()
