"""IDEAS's features against plain NumPy and SciPy, closed forms, and what must not change them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from masks import masks
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import disk

from scip_mpi.batches import ImageBatch, Scratch
from scip_mpi.errors import UserError
from scip_mpi.features import ideas
from scip_mpi.features.family import Family, whole_sets
from scip_mpi.features.ideas_columns import NAMES
from scip_mpi.features.shared import prepare

Array = NDArray[np.generic]
PAIR = "ideas_bright_detail_similarity_r3_0_1"


def mirrored(plane: Array, radius: int, extreme: Callable[..., Array]) -> Array:
    padded = np.pad(plane, radius, mode="symmetric")
    return extreme(padded, footprint=disk(radius))[radius:-radius, radius:-radius]


def detail(plane: Array, radius: int) -> Array:
    eroded = mirrored(plane, radius, ndimage.minimum_filter)
    return plane - mirrored(eroded, radius, ndimage.maximum_filter)


def of_light(plane: Array, mask: Array, level: float, threshold: float) -> list[float]:
    """Aspect ratio, symmetries and lobe count, by complex numbers."""
    y, x = np.nonzero(mask)
    w = np.maximum(plane[y, x] - level, 0)
    if np.count_nonzero(w) < 2:
        return [np.nan] * 5
    z = x + 1j * y
    z = z - (w * z).sum() / w.sum()
    second = np.array([[(w * z.real**2).sum(), (w * z.real * z.imag).sum()],
                       [0, (w * z.imag**2).sum()]])  # fmt: skip
    small, large = np.linalg.eigvalsh(second, UPLO="U")
    angle = np.angle(z)
    weight = w * np.abs(z) ** 2
    found = [abs((weight * np.exp(1j * n * angle)).sum()) / weight.sum() for n in (2, 3, 4)]
    count = 1.0 if max(found) < threshold else 2.0 + np.argmax(np.round(found, 12))
    return [math.sqrt(max(small, 0) / large), *found, count]


def twin(
    image: Array, masks: Array, ratio: float = 0.5, threshold: float = 0.35
) -> dict[str, float]:
    """All features of one cell, each channel in its own mask."""
    out: dict[str, float] = {}
    details = []
    for c, (plane, mask) in enumerate(zip(image.astype(float), masks, strict=True)):
        values = dict.fromkeys(NAMES, np.nan)
        details.append(np.where(mask, detail(plane, 3), 0.0))
        if mask.any():
            inside = plane[mask]
            level = plane[~mask].mean() if (~mask).any() else 0.0
            padded = np.pad(plane, 1, mode="edge")
            dx = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2
            dy = (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
            if inside.mean() > 0:
                rms = math.sqrt((dx**2 + dy**2)[mask].mean())
                values["gradient_rms"] = rms / inside.mean()
            if inside.max() > 0:
                low, high = max(inside.min(), 0), inside.max()
                values["modulation"] = (high - low) / (high + low)
            values["bright_detail_intensity_r3"] = details[-1].sum()
            values["bright_detail_intensity_r7"] = detail(plane, 7)[mask].sum()
            if inside.mean() > 0:
                spots = mask & (details[-1] >= ratio * inside.mean())
                values["spot_count"] = ndimage.label(spots, np.ones((3, 3)))[1]
            aspect, *others = of_light(plane, mask, level, threshold)
            values["aspect_ratio_intensity"] = aspect
            names = ("symmetry_2", "symmetry_3", "symmetry_4", "lobe_count")
            values.update(zip(names, others, strict=True))
        out |= {f"ideas_{name}_{c}": value for name, value in values.items()}
    if len(image) == 2:
        squares = [(d**2).sum() for d in details]
        r = np.nan
        if min(squares) > 0:
            r = min((details[0] * details[1]).sum() / math.sqrt(math.prod(squares)), 1 - 1e-12)
        out[PAIR] = math.log((1 + r) / (1 - r))
    return out


def cell(dtype: str = "uint16", seed: int = 0, size: tuple[int, int] = (40, 52)) -> Array:
    """Two channels of a smooth cell with bright spots, some of them in both, on a dark ground."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    far = np.hypot((rows - size[0] / 2) / 1.3, columns - size[1] / 2) / min(size)
    planes = np.stack([900 * np.exp(-(far**2) * 12), 400 * np.exp(-(far**2) * 20)])
    for k in range(9):
        y, x = (rng.uniform(0.3, 0.7) * n for n in size)
        spot = 700 * np.exp(-(np.hypot(rows - y, columns - x) ** 2) / rng.uniform(1, 9))
        planes[k % 3 if k % 3 < 2 else slice(None)] += spot
    return (planes + 100 + rng.random(planes.shape) * 9).astype(dtype)


def body(image: Array) -> Array:
    return image > 250


def table(family: Family, images: list[Array], masks: list[Array]) -> NDArray[np.float64]:
    return np.column_stack(list(family.measure(images, masks).values()))


def check(image: Array, mask: Array) -> None:
    ours = ideas.measure([image], [mask])
    theirs = twin(image, mask)
    assert list(ours) == list(theirs)
    # A lobe count or spot count may hang on the last bit; those of the twin are not rounded ones.
    wrong = {
        name: (float(ours[name][0]), theirs[name])
        for name in ours
        if not np.isclose(ours[name][0], theirs[name], rtol=1e-7, atol=1e-6, equal_nan=True)
    }
    assert not wrong


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_cells_are_as_the_twin_has_them(dtype: str) -> None:
    for seed in range(4):
        image = cell(dtype, seed, (40 + seed, 60 - 3 * seed))
        check(image, body(image))
    # A small mask in a large image: only what is near it is opened.
    image = cell(dtype, 5, (150, 120))
    mask = np.zeros(image.shape, bool)
    mask[:, 70:80, 55:63] = True
    check(image, mask)


@st.composite
def masked_cells(draw: st.DrawFn) -> tuple[Array, Array]:
    """Two channels of whole numbers, smooth or noise or flat, each with a mask of any kind."""
    first = draw(masks(24, 40))
    second = draw(st.sampled_from([first, ~first, first[::-1], np.roll(first, 3, axis=1)]))
    dtype = draw(st.sampled_from(["uint16", "float32"]))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    # Odd factors: few ratios of small whole numbers fall on a threshold.
    values = rng.integers(0, draw(st.sampled_from([1, 2, 40, 5000])), (2, *first.shape)) * 13
    if dtype[0] == "f":
        values -= draw(st.sampled_from([0, 260, 30000]))
    return values.astype(dtype), np.stack([first, second])


@settings(max_examples=150)
@given(masked_cells())
@example((np.full((2, 1, 1), 7, np.uint16), np.ones((2, 1, 1), bool)))
@example((np.full((2, 3, 9), 7, np.uint16), np.ones((2, 3, 9), bool)))
@example((np.arange(18, dtype=np.float32).reshape(2, 1, 9) - 4, np.ones((2, 1, 9), bool)))
def test_any_mask_on_any_pixels(drawn: tuple[Array, Array]) -> None:
    image, mask = drawn
    ours, theirs = ideas.measure([image], [mask]), twin(image, mask)
    for name in ours:
        # What hangs on a threshold is left to images where nothing lies on one.
        if "count" not in name:
            equal = np.isclose(ours[name][0], theirs[name], rtol=1e-6, atol=1e-5, equal_nan=True)
            assert equal, (name, ours[name][0], theirs[name])
        else:
            assert np.isnan(ours[name][0]) == np.isnan(theirs[name])


def discs(n: int, size: int = 61) -> Array:
    """So many equal discs about the middle that touch, for 1 a single one."""
    rows, columns = np.mgrid[:size, :size] - size // 2
    radius = 9 if n == 1 else 9 / math.sin(math.pi / n)
    at = [2 * math.pi * k / n + 0.3 for k in range(n)]
    far = 0 if n == 1 else radius
    return np.any(
        [np.hypot(rows - far * math.sin(a), columns - far * math.cos(a)) <= 9 for a in at], axis=0
    )


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_lobes_are_counted(n: int) -> None:
    found = ideas.measure([np.where(discs(n), 500, 0).astype("u2")], [np.ones((61, 61), bool)])
    assert found["ideas_lobe_count_0"][0] == n
    if n > 1:
        others = {2, 3, 4} - {n}
        assert all(
            found[f"ideas_symmetry_{n}_0"][0] > found[f"ideas_symmetry_{k}_0"][0] for k in others
        )
    else:
        assert all(found[f"ideas_symmetry_{k}_0"][0] < 0.02 for k in (2, 3, 4))
        assert found["ideas_aspect_ratio_intensity_0"][0] == pytest.approx(1, abs=0.01)


def test_points_have_the_symmetry_of_their_number() -> None:
    for points in ([(0, 3), (0, -3)], [(3, 0), (-3, 0), (0, 3), (0, -3)]):
        image = np.zeros((1, 11, 11), np.uint16)
        for y, x in points:
            image[0, 5 + y, 5 + x] = 60
        found = ideas.measure([image], [np.ones(image.shape, bool)])
        assert found[f"ideas_symmetry_{len(points)}_0"][0] == pytest.approx(1)
        assert found["ideas_lobe_count_0"][0] == len(points)
        assert found["ideas_aspect_ratio_intensity_0"][0] == pytest.approx(len(points) // 4)


def test_what_is_known_without_computing() -> None:
    image = np.full((2, 30, 30), 100, np.uint16)
    image[:, 10, 10] = 150
    image[0, 20, 20:22] = 170
    image[1, 5:18, 16:29] = 180  # a square that a disc of radius 3 fits into, but for its corners
    mask = np.zeros(image.shape, bool)
    mask[:, 4:26, 4:26] = True
    found = ideas.measure([image], [mask])
    assert found["ideas_bright_detail_intensity_r3_0"][0] == 50 + 2 * 70
    assert found["ideas_modulation_0"][0] == 70 / 270
    # Details of 50 and 70 where the mean is about 100.
    assert found["ideas_spot_count_0"][0] == 1
    lower = ideas.select(spot_ratio=0.4).measure([image], [mask])
    assert lower["ideas_spot_count_0"][0] == 2
    alone = ideas.measure([image[[0, 0]]], [mask])
    assert alone[PAIR][0] == pytest.approx(math.log((2 - 1e-12) / 1e-12))
    apart = image.copy()
    apart[1] = 100
    apart[1, 15, 15] = 200
    assert ideas.measure([apart], [mask])[PAIR][0] == 0


def test_undefined_values_are_nan_for_the_reasons_given() -> None:
    image = np.zeros((2, 9, 9), np.float32)
    image[1] = 5
    mask = np.zeros(image.shape, bool)
    mask[:, 3:6, 3:6] = True
    found = ideas.measure([image, image, image], [mask, np.zeros_like(mask), mask])
    black = {n for n, v in found.items() if np.isnan(v[0]) and n.endswith("_0")}
    light = {"aspect_ratio_intensity", "symmetry_2", "symmetry_3", "symmetry_4", "lobe_count"}
    none = light | {"gradient_rms", "modulation", "spot_count"}
    assert black == {f"ideas_{n}_0" for n in none}
    # A flat channel as bright as its background.
    flat = {n for n, v in found.items() if np.isnan(v[0]) and n.endswith("_1")}
    assert flat == {f"ideas_{n}_1" for n in light} | {PAIR}
    assert all(np.isnan(v[1]) for v in found.values())
    # Light in one pixel has no direction.
    image[0, 4, 4] = 0.1
    found = ideas.measure([image], [mask])
    assert {n for n, v in found.items() if np.isnan(v[0]) and n.endswith("_0")} == {
        f"ideas_{n}_0" for n in light
    }


TURNS = {
    "flip": lambda a: a[..., ::-1],
    "turn": lambda a: np.rot90(a, axes=(-2, -1)),
    "transpose": lambda a: a.swapaxes(-2, -1),
}


@pytest.mark.parametrize("turn", TURNS)
def test_turning_changes_nothing(turn: str) -> None:
    image = cell("uint16", 3)
    mask = body(image)
    turned = [np.ascontiguousarray(TURNS[turn](a)) for a in (image, mask)]
    ours, theirs = table(ideas.FAMILY, [image], [mask]), table(ideas.FAMILY, *([a] for a in turned))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_shifting_and_padding_change_nothing_and_scaling_what_has_intensity() -> None:
    # So far from the edge that no mirror shows.
    image = np.where(body(cell("uint16", 4)), cell("uint16", 4), 120)
    image = np.pad(image, ((0, 0), (15, 15), (15, 15)), constant_values=120)
    mask = body(image)
    padded = np.pad(image, ((0, 0), (30, 21), (22, 40)), constant_values=120)
    around = np.pad(mask, ((0, 0), (30, 21), (22, 40)))
    ours = table(ideas.FAMILY, [image], [mask])
    np.testing.assert_allclose(ours, table(ideas.FAMILY, [padded], [around]), rtol=1e-9)
    units = [f.unit for f in ideas.FAMILY.features(["0", "1"])]
    factor = np.where(np.array(units) == "intensity", 4.0, 1.0)
    np.testing.assert_allclose(
        ours * factor, table(ideas.FAMILY, [image * np.uint16(4)], [mask]), rtol=1e-12
    )


def test_the_order_of_channels_and_the_company_change_no_bit() -> None:
    images = [cell("uint16", s, (30 + s, 50 - s)) for s in range(4)]
    bodies = [body(image) for image in images]
    together = ideas.measure(images, bodies)
    swapped = ideas.measure([i[::-1].copy() for i in images], [m[::-1].copy() for m in bodies])
    for name, values in together.items():
        other = name.replace("_0", "_x").replace("_1", "_0").replace("_x", "_1")
        other = PAIR if name == PAIR else other
        assert values.tobytes() == swapped[other].tobytes()
        alone = [ideas.measure([i], [m])[name] for i, m in zip(images, bodies, strict=True)]
        assert values.tobytes() == np.concatenate(alone).tobytes()


def test_a_selection_has_the_values_of_the_full_family() -> None:
    image = cell()
    image = np.concatenate([image, image[::-1] // 2])
    every = ideas.measure([image], [body(image)])
    assert len(every) == 4 * len(NAMES) + 6
    for chosen in (
        {"statistics": ["spot_count", "lobe_count"]},
        {"statistics": ["bright_detail_similarity_r3"], "channels": [0, 2]},
        {"statistics": ["modulation", "bright_detail_intensity_r7"], "channels": [3]},
    ):
        some = ideas.select(**chosen).measure([image], [body(image)])
        assert len(some) in (8, 1, 2)
        assert all(every[name] == values for name, values in some.items())


def test_in_the_combined_mask_each_channel_is_measured_there() -> None:
    image = cell()
    mask = body(image)
    union = np.broadcast_to(mask.any(axis=0), mask.shape)
    combined = ideas.select(mask="combined").measure([image], [mask])
    assert combined == ideas.measure([image], [union])
    assert combined != ideas.measure([image], [mask])


def test_rows_of_objects_that_a_set_dropped_stay_empty() -> None:
    images = [cell(), cell(seed=1)]
    batch = ImageBatch.from_images(images)
    own = ImageBatch.from_images([body(i) for i in images], dtype=np.uint8).pixels
    chosen = whole_sets(batch, own)
    chosen.kept[0] = False
    out = np.full((2, len(ideas.FAMILY.features(["0", "1"]))), np.nan)
    ideas.FAMILY.compute(batch, chosen, prepare((), batch), out, Scratch())
    assert np.isnan(out[0]).all()
    assert np.isfinite(out[1]).all()


def test_the_background_of_the_config_is_what_light_is_above() -> None:
    image = cell()
    batch = ImageBatch.from_images([image])
    chosen = whole_sets(batch, ImageBatch.from_images([body(image)], dtype=np.uint8).pixels)
    out = np.full((2, len(ideas.FAMILY.features(["0", "1"]))), np.nan)
    for row, level in enumerate((0.0, 300.0)):
        chosen.background[:] = level
        part = out[row : row + 1]
        ideas.FAMILY.compute(batch, chosen, prepare((), batch), part, Scratch())
    names = [f.name for f in ideas.FAMILY.features(["0", "1"])]
    differ = {n.removesuffix("_0") for n, a, b in zip(names, *out, strict=True) if a != b}
    assert {"ideas_aspect_ratio_intensity", "ideas_symmetry_2"} <= differ
    assert not {"ideas_modulation", "ideas_gradient_rms", "ideas_spot_count"} & differ


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"spot_ratio": 0}, "spot_ratio must be above 0"),
        ({"lobe_threshold": 1.5}, "at most 1"),
        ({"mask": "both"}, "unknown mask"),
        ({"statistics": ["lobes"]}, "unknown statistic"),
    ],
)
def test_settings_that_make_no_sense_are_refused(chosen: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        ideas.select(**chosen)  # type: ignore[arg-type]
