"""Uneven light: exact sums, smooth functions of the mean, and whole runs against plain NumPy."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from launch import scip
from scipy import ndimage
from skimage.transform import downscale_local_mean, resize
from tables import digest
from test_stages import PROGRAM

from scip_mpi.check import check
from scip_mpi.errors import UserError
from scip_mpi.illumination import Sums, gaussian, jones_2006
from scip_mpi.illumination_groups import group_images
from scip_mpi.job import Request
from scip_mpi.loaders.contract import Catalog, ImageInfo
from scip_mpi.parallel.inprocess import run_threads
from scip_mpi.parallel.world import Alone
from scip_mpi.run import run
from scip_mpi.signals import StopFlag

SHAPE = (2, 60, 70)
CONFIG = """\
load:
  format: multiframe_tiff
  channel_names: [DNA, GFP]
  kwargs: {regex: '(?P<plate>p[0-9])/(?P<field>[0-9]+)'}
  offset: [2, 3]
segment: {method: watershed, settings: {parent_channel_index: DNA, cell_diameter: 8}}
feature_extraction: [shape, intensity, bbox]
resources: {chunk_size: 2}
"""
LIGHT = "illumination_correction: {method: jones_2006, key: plate, export: true, settings: {%s}}\n"
FOUND = "median_filter_size: 5, downscale: 4"


def added(images: list[np.ndarray], parts: int) -> Sums:
    """Images added up by so many ranks, one after another each."""
    own = [Sums.of(images[0].size, images[0].dtype) for _ in range(parts)]
    for k, image in enumerate(images):
        own[k % parts].add(image)
    return Sums(sum(s.limbs for s in own), sum(s.counts for s in own))  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(["u1", "u2", "u4", "i2", "f4", "f8", "u8"]), st.integers(1, 4))
def test_sums_are_exact_in_any_order(data: Any, kind: str, parts: int) -> None:
    dtype = np.dtype(kind)
    if dtype.kind == "f":
        values = st.floats(width=32) | st.sampled_from([1e38, -1e38, 1e-45, -3e-39, 1.0])
    else:
        info = np.iinfo(dtype)
        values = st.integers(int(info.min), int(info.max))
    rows = data.draw(st.lists(st.lists(values, min_size=3, max_size=3), min_size=1, max_size=9))
    images = [np.array(row, dtype) for row in rows]
    found = added(images, parts)
    again = added(images[::-1], 1)
    assert np.array_equal(found.means(), again.means(), equal_nan=True)
    for place, mean in enumerate(found.means().tolist()):
        # Other types are taken in single precision.
        exact = kind in ("u1", "u2", "u4", "i2")
        pixels = [image[place] if exact else np.float32(image[place]) for image in images]
        pixels = [Fraction(p.item()) for p in pixels if np.isfinite(p)]
        if not pixels:
            assert np.isnan(mean)
        else:
            wanted = sum(pixels) / len(pixels)
            assert abs(Fraction(mean) - wanted) <= abs(wanted) / 2**50


def test_sums_do_not_overflow() -> None:
    top = Sums.of(1, np.dtype("u4"))
    # As many images of the largest pixels as a catalog may hold, but for one.
    top.limbs[:] = (2**32 - 1) * 100_000_000
    top.counts[:] = 100_000_000
    top.add(np.array([2**32 - 1], np.uint32))
    assert top.means()[0] == 2**32 - 1
    single = Sums.of(1, np.dtype("f4"))
    for _ in range(3):
        single.add(np.array([3.4e38], np.float32))
    assert single.means()[0] == np.float32(3.4e38)


def plain_jones(mean: np.ndarray, size: int, downscale: int) -> np.ndarray:
    """What SCIP does, in plain NumPy, for sides that can be divided."""
    small = downscale_local_mean(mean, (downscale, downscale)) if downscale > 1 else mean
    small = ndimage.median_filter(small, size)
    small[small <= 0] = 1
    return resize(small, mean.shape, order=1, mode="edge") if downscale > 1 else small


@pytest.mark.parametrize(("size", "downscale"), [(1, 1), (5, 1), (6, 1), (50, 1), (3, 4), (4, 2)])
def test_jones_is_the_median_of_the_mean_image(size: int, downscale: int) -> None:
    mean = np.random.default_rng(size).gamma(2.0, 100, (24, 32))
    mean[:9, :9] = 0
    found = jones_2006(mean, median_filter_size=size, downscale=downscale)
    np.testing.assert_allclose(found, plain_jones(mean, size, downscale), rtol=1e-12)
    assert (found > 0).all()


def test_sides_that_cannot_be_divided_and_places_without_a_mean() -> None:
    assert (jones_2006(np.full((10, 7), 5.0), median_filter_size=3, downscale=4) == 5).all()
    mean = np.full((8, 8), 3.0)
    mean[2, 2] = np.nan
    np.testing.assert_allclose(gaussian(mean, sigma=2.0), 3.0, rtol=1e-12)
    assert (jones_2006(np.full((4, 4), np.nan)) == 1).all()
    mean = np.random.default_rng(0).gamma(2.0, 100, (30, 20))
    wanted = ndimage.gaussian_filter(mean, 3.0, mode="nearest")
    np.testing.assert_array_equal(gaussian(mean, sigma=3.0), wanted)


def light(plate: int) -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[1], : SHAPE[2]]
    slope = (rows if plate else columns) / 100
    return np.stack([0.6 + slope, 1.2 - slope])


def fields(folder: Path, count: int = 6) -> list[Path]:
    """Fields of two plates, lit unevenly: bright cells in both channels."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[: SHAPE[1], : SHAPE[2]]
    paths = []
    for plate in range(2):
        (folder / f"p{plate}").mkdir(parents=True)
        for k in range(count):
            true = np.full(SHAPE, 60.0) + rng.normal(0, 2, SHAPE)
            for y, x in rng.uniform(8, 52, (5, 2)):
                true += 400 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 20)
            image = np.round(true * light(plate)).astype(np.uint16)
            paths.append(folder / f"p{plate}" / f"{k:02d}.tif")
            tifffile.imwrite(paths[-1], image, photometric="minisblack")
    return paths


def plain_functions(paths: list[Path]) -> dict[str, np.ndarray]:
    """Functions of each plate in plain NumPy."""
    found = {}
    for plate in ("p0", "p1"):
        images = [tifffile.imread(p) for p in paths if p.parent.name == plate]
        mean = np.sum(images, axis=0, dtype=np.int64) / len(images)
        mean -= np.array([2.0, 3.0])[:, np.newaxis, np.newaxis]
        # Of 60 and 70 rows and columns only the first can be divided by 4.
        mean = np.pad(mean, ((0, 0), (0, 0), (0, 2)), mode="edge")
        found[plate] = np.stack([plain_jones(m, 5, 4) for m in mean])[:, :, :70]
    return found


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lit") / "images"
    fields(folder)
    return folder


def go(images: Path, folder: Path, text: str, ranks: int = 1) -> Path:
    """A run that ends well; its OUT."""
    folder.mkdir(exist_ok=True)
    config = folder / "scip.yml"
    config.write_text(text)
    request = Request(config, [str(images)], folder / "out", quiet=True)
    if ranks == 1:
        assert run(Alone(), request) == 0
    else:
        assert run_threads(ranks, lambda world: run(world, request)) == [0] * ranks
    return folder / "out"


@pytest.fixture(scope="module")
def serial(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return go(images, tmp_path_factory.mktemp("serial"), CONFIG + LIGHT % FOUND)


def test_a_run_is_one_of_images_that_were_divided_before(
    images: Path, serial: Path, tmp_path: Path
) -> None:
    paths = sorted(images.rglob("*.tif"))
    functions = plain_functions(paths)
    for k, plate in enumerate(("p0", "p1")):
        stem = serial / "illumination" / f"illumination_{k:03d}_{plate}"
        array = np.load(stem.with_suffix(".npy"))
        np.testing.assert_allclose(array, functions[plate], rtol=1e-12)
        picture = tifffile.imread(stem.with_suffix(".tif"))
        np.testing.assert_array_equal(picture, array.astype(np.float32))
        # To the last bit, now, by the very function.
        for path in paths:
            if path.parent.name == plate:
                raw = tifffile.imread(path).astype(np.float64)
                divided = (raw - np.array([2.0, 3.0])[:, None, None]) / array
                copy = tmp_path / "divided" / plate / path.name
                copy.parent.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(copy, divided.astype(np.float32), photometric="minisblack")
    plain = CONFIG.replace("  offset: [2, 3]\n", "")
    before = go(tmp_path / "divided", tmp_path / "plain", plain)
    ours, theirs = (anndata.read_h5ad(out / "features.h5ad") for out in (serial, before))
    assert ours.n_obs > 30
    np.testing.assert_array_equal(ours.X, theirs.X)
    assert list(ours.obs_names) == list(theirs.obs_names)
    # And it does something: what was bright at one side is so no more.
    dark = go(images, tmp_path / "dark", CONFIG)
    assert digest(dark)["X"] != digest(serial)["X"]


@pytest.mark.parametrize("ranks", [2, 4])
def test_the_same_bits_on_any_number_of_ranks(
    ranks: int, images: Path, serial: Path, tmp_path: Path
) -> None:
    out = go(images, tmp_path, CONFIG + LIGHT % FOUND, ranks)
    assert digest(out) == digest(serial)
    for path in sorted((serial / "illumination").iterdir()):
        if path.suffix != ".tif":
            assert (out / "illumination" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [2, 4])
def test_the_same_bits_under_mpiexec(
    ranks: int, images: Path, serial: Path, tmp_path: Path
) -> None:
    config = tmp_path / "scip.yml"
    config.write_text(CONFIG + LIGHT % FOUND)
    done = scip("run", config, images, "-o", tmp_path / "out", "-q", ranks=ranks)
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "out") == digest(serial)


def test_pixels_that_are_no_whole_numbers(images: Path, tmp_path: Path) -> None:
    for path in images.rglob("*.tif"):
        copy = tmp_path / "images" / path.parent.name / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(copy, (tifffile.imread(path) / 7).astype("f4"), photometric="minisblack")
    text = CONFIG + LIGHT % FOUND
    outs = [go(tmp_path / "images", tmp_path / f"{n}", text, n) for n in (1, 3)]
    assert digest(outs[0]) == digest(outs[1])


def test_a_run_that_is_stopped_goes_on(images: Path, serial: Path, tmp_path: Path) -> None:
    config = tmp_path / "scip.yml"
    config.write_text(CONFIG + LIGHT % FOUND)
    request = Request(config, [str(images)], tmp_path / "out", quiet=True)

    class Late(StopFlag):
        """Raised when it has been looked at so many times."""

        def __init__(self, after: int) -> None:
            super().__init__()
            self.after = after

        def __bool__(self) -> bool:
            self.after -= 1
            if self.after == 0:
                self.signal = "SIGTERM"
            return super().__bool__()

    # In the pass over the light, which looks 7 times; then in the first pass.
    for after in (2, 9, 11):
        assert run(Alone(), request, Late(after)) == 75
        assert not (tmp_path / "out" / "features.h5ad").exists()
    assert run(Alone(), request) == 0
    assert digest(tmp_path / "out") == digest(serial)


def test_functions_that_were_computed_before(images: Path, serial: Path, tmp_path: Path) -> None:
    folder = serial / "illumination"
    before = go(images, tmp_path / "folder", CONFIG + LIGHT % f"precomputed: '{folder}'")
    assert digest(before) == digest(serial)
    # One array for all groups.
    one = tmp_path / "one.npy"
    np.save(one, np.full(SHAPE, 2.0))
    halved = go(images, tmp_path / "one", CONFIG + LIGHT % f"precomputed: '{one}'")
    assert digest(halved)["X"] != digest(serial)["X"]
    lines = list(check(tmp_path / "one" / "scip.yml", [str(images)], 2))
    assert any(line == f"light       jones_2006 by plate: 2 groups, computed before: {one}"
               for line in lines)  # fmt: skip
    # Other values are another run.
    config = tmp_path / "one" / "scip.yml"
    request = Request(config, [str(images)], tmp_path / "stopped", quiet=True)
    stop = StopFlag()
    stop.signal = "SIGTERM"
    assert run(Alone(), request, stop) == 75
    np.save(one, np.full(SHAPE, 3.0))
    with pytest.raises(UserError, match="precomputed functions have other values"):
        run(Alone(), request)


def refused(images: Path, folder: Path, text: str) -> str:
    config = folder / "bad.yml"
    config.write_text(text)
    with pytest.raises(UserError) as error:
        run(Alone(), Request(config, [str(images)], folder / "bad", quiet=True))
    assert not (folder / "bad").exists()
    return str(error.value)


def test_what_is_wrong_is_said_before_any_work(images: Path, serial: Path, tmp_path: Path) -> None:
    text = CONFIG + LIGHT.replace("key: plate", "key: plaet") % FOUND
    assert "no metadata column 'plaet'; there are: group, plate, field" in refused(
        images, tmp_path, text
    )
    text = CONFIG + LIGHT % "median_filter_size: 0"
    message = refused(images, tmp_path, text)
    assert "illumination_correction.settings" in message
    assert "median_filter_size must be from 1 to 1,000, not 0" in message
    message = refused(images, tmp_path, CONFIG + LIGHT % "median_filter_size: 100000")
    assert "median_filter_size must be from 1 to 1,000, not 100000" in message
    assert "median_filter_size" in refused(
        images, tmp_path, CONFIG + LIGHT % "median_filtersize: 3"
    )
    assert "jones_2006" in refused(
        images, tmp_path, CONFIG + "illumination_correction: {method: jones}\n"
    )
    bad = tmp_path / "bad.npy"
    for array, why in (
        (np.ones((2, 60, 71)), r"is of shape (2, 60, 71), the images of 'p0' are (2, 60, 70)"),
        (np.zeros(SHAPE), "not above 0"),
        (np.ones(SHAPE[1:]), "no array of (channels, rows, columns)"),
    ):
        np.save(bad, array)
        assert why in refused(images, tmp_path, CONFIG + LIGHT % f"precomputed: '{bad}'")
    bad.write_bytes(pickle.dumps({"p0": np.ones(SHAPE)}))
    assert "pickle" in refused(images, tmp_path, CONFIG + LIGHT % f"precomputed: '{bad}'")
    missing = f"precomputed: '{tmp_path / 'none'}'"
    assert "cannot be read" in refused(images, tmp_path, CONFIG + LIGHT % missing)
    folder = serial / "illumination"
    text = CONFIG + LIGHT.replace("key: plate", "key: field") % f"precomputed: '{folder}'"
    assert "has no group '00'" in refused(images, tmp_path, text)


def test_an_image_of_another_size_fails_alone_and_a_group_may_be_one_image(tmp_path: Path) -> None:
    images = tmp_path / "images"
    fields(images, 2)
    (images / "p1" / "01.tif").unlink()
    tifffile.imwrite(
        images / "p0" / "02.tif", np.ones((2, 50, 70), np.uint16), photometric="minisblack"
    )
    (images / "p0" / "000.tif").write_bytes(b"no image")
    # A plate without any image that can be read.
    (images / "p2").mkdir()
    (images / "p2" / "00.tif").write_bytes(b"no image")
    for ranks in (1, 3):
        out = go(images, tmp_path / f"{ranks}", CONFIG + LIGHT % FOUND, ranks)
        failures = (out / "failures.csv").read_text().splitlines()
        assert len(failures) == 4
        assert failures[1].startswith("p0/000.tif,read,")
        assert failures[2].startswith('p0/02.tif,illumination,"the image has 50 x 70 pixels')
        kept = anndata.read_h5ad(out / "features.h5ad").obs.image
        assert set(kept) == {"p0/00.tif", "p0/01.tif", "p1/00.tif"}
        assert json.loads((out / "run.json").read_text())["failed_images"] == 3
        exported = sorted((out / "illumination").glob("*.npy"))
        assert [np.load(path).shape for path in exported] == [SHAPE, SHAPE]
    assert digest(tmp_path / "1" / "out") == digest(tmp_path / "3" / "out")
    folder = tmp_path / "1" / "out" / "illumination"
    again = go(images, tmp_path / "again", CONFIG + LIGHT % f"precomputed: '{folder}'")
    assert digest(again) == digest(tmp_path / "1" / "out")


def test_nothing_is_compiled_after_the_warm_up(images: Path, tmp_path: Path) -> None:
    config = tmp_path / "scip.yml"
    text = CONFIG.replace(CONFIG.splitlines()[5], "").replace(", bbox", "")
    config.write_text(text + LIGHT % FOUND)
    # Nor in the pass over the light.
    program = PROGRAM.replace("segment_and_measure", "correct_illumination")
    arguments = [sys.executable, "-c", program, config, images, tmp_path / "out"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_groups_by_columns_of_all_kinds() -> None:
    own = np.arange(6, dtype=np.int64)
    catalog = Catalog(
        files=[f"{i}.tif" for i in range(6)], sources=own[:, np.newaxis], names=[], named=own,
        within=0 * own, unit=own, group=np.array([0, 0, 1, 1, 0, 1], np.int32), groups=["a", "b"],
        metadata={"plate": (np.array([2, 2, -1, 0, 0, -1], np.int32), ["x", "unused", "z"])},
        numbers={"z": np.array([1.5, 1.5, 3, 3, 1.5, 3])}, sizes=own, mtimes=own,
    )  # fmt: skip
    asked: list[str] = []

    def probe(sources: tuple[str, ...], within: int) -> ImageInfo:
        asked.append(sources[0])
        if sources[0] == "0.tif":
            raise UserError("no image")
        return ImageInfo((1, 10 + int(sources[0][0]), 7), np.dtype("u1"))

    for key, names, codes, first in (
        ("group", ["a", "b"], [0, 0, 1, 1, 0, 1], [1, 2]),
        ("plate", ["missing", "x", "z"], [2, 2, 0, 1, 1, 0], [2, 3, 1]),
        ("z", ["1.5", "3"], [0, 0, 1, 1, 0, 1], [1, 2]),
    ):
        found = group_images(catalog, key, probe)
        assert found.names == names
        assert found.of(own).tolist() == codes
        assert found.of(own[[4, 0]]).tolist() == [codes[4], codes[0]]
        assert found.shapes.tolist() == [[10 + i, 7] for i in first]
    assert asked[:3] == ["0.tif", "1.tif", "2.tif"]


def test_check_names_the_stage(images: Path, tmp_path: Path) -> None:
    config = tmp_path / "scip.yml"
    config.write_text(CONFIG + LIGHT % FOUND)
    lines = list(check(config, [str(images)], 2))
    assert any(
        line.startswith("light       jones_2006 by plate: 2 groups; up to ") for line in lines
    )
    assert any("offset > illumination > (compensation off) > segment" in line for line in lines)


@pytest.mark.parametrize("sigma", [0.0, 1e9, float("inf"), float("nan")])
def test_a_gaussian_that_nobody_can_want(sigma: float) -> None:
    with pytest.raises(UserError, match=r"sigma must be from 0\.1 to 1,000"):
        gaussian(np.ones((3, 4)), sigma=sigma)
