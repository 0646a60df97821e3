"""Planes made one: by hand, and through every loader that has planes."""

from __future__ import annotations

import shutil
from pathlib import Path

import anndata
import numpy as np
import pytest
import tifffile
import zarr
from czi_encoder import write_czi

from scip_mpi.config import ConfigError, parse_config
from scip_mpi.errors import UserError
from scip_mpi.job import Request
from scip_mpi.loaders import czi, ome_tiff, ome_zarr
from scip_mpi.parallel.world import Alone
from scip_mpi.plan import find_images, suited
from scip_mpi.projection import OPERATIONS, project, projected_type
from scip_mpi.run import run

TEXT = "load: {format: %s}\nproject: {method: op, settings: {op: %s}}\nfeature_extraction: [raw]\n"


def of(planes, operation):
    return project(operation, lambda z: planes[z], len(planes))


def test_what_the_operations_are() -> None:
    planes = np.array([[[[10, 3]]], [[[20, 3]]], [[[40, 9]]], [[[90, 1]]]], np.uint8)
    assert of(planes, "max").tolist() == [[[90, 9]]]
    assert of(planes, "mean").tolist() == [[[40.0, 4.0]]]
    assert of(planes, "median").tolist() == [[[30.0, 3.0]]]
    assert of(planes[:3], "median").tolist() == [[[20.0, 3.0]]]
    assert of(planes, "sum").tolist() == [[[160, 16]]]
    # The difference of 89 in the last plane is the largest.
    assert of(planes, "best_focus").tolist() == [[[90, 1]]]
    # A mean is rounded once, from an exact sum.
    thirds = np.array([[[[1]]], [[[1]]], [[[2]]]], np.uint16)
    assert of(thirds, "mean")[0, 0, 0] == np.float32(4 / 3)


def test_sums_do_not_overflow() -> None:
    for dtype, kind in ((np.uint8, np.uint32), (np.uint16, np.uint32), (np.uint32, np.uint64),
                        (np.int8, np.int32), (np.int16, np.int32)):  # fmt: skip
        top = int(np.iinfo(dtype).max)
        found = of(np.full((300, 1, 2, 2), top, dtype), "sum")
        assert found.dtype == kind == projected_type("sum", np.dtype(dtype))
        assert (found == 300 * top).all()
        assert (of(np.full((300, 1, 2, 2), top, dtype), "mean") == top).all()
    low = np.full((300, 1, 2, 2), -128, np.int8)
    assert (of(low, "sum") == -38400).all()
    assert (of(low, "max") == -128).all()


def test_each_channel_has_a_sharpest_plane_of_its_own() -> None:
    rng = np.random.default_rng(0)
    planes = np.full((4, 2, 20, 30), 500, np.uint16)
    planes[2, 0] = rng.integers(0, 1000, (20, 30))
    planes[1, 1] = rng.integers(0, 1000, (20, 30))
    planes[3, 1] = planes[1, 1] // 2
    found = of(planes, "best_focus")
    np.testing.assert_array_equal(found[0], planes[2, 0])
    np.testing.assert_array_equal(found[1], planes[1, 1])
    # Of equal ones the first; a plane with NaN is none.
    same = np.stack([planes[0], planes[0][:, ::-1]])
    np.testing.assert_array_equal(of(same, "best_focus"), planes[0])
    broken = planes.astype(np.float32)
    broken[1, 1, 0, 0] = np.nan
    np.testing.assert_array_equal(of(broken, "best_focus")[1], planes[3, 1])


def twin(planes: np.ndarray, operation: str) -> np.ndarray:
    """What is to come out of (Z, C, H, W), by numpy alone."""
    wide = planes.astype(np.float64)
    if operation == "best_focus":
        steps = (np.diff(wide, axis=a) ** 2 for a in (2, 3))
        sharp = sum(s.sum(axis=(2, 3)) for s in steps).argmax(axis=0)
        return np.stack([planes[z, c] for c, z in enumerate(sharp)])
    return getattr(np, operation)(wide, axis=0).astype(projected_type(operation, planes.dtype))


def stack(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4096, shape).astype(np.uint16)


def as_czi(folder: Path, image: np.ndarray) -> str:
    sizes = image.shape[:3]
    blocks = [
        ({"X": 0, "Y": 0, "T": t, "C": c, "Z": z}, image[t, c, z]) for t, c, z in np.ndindex(*sizes)
    ]
    return write_czi(folder / "a.czi", blocks)


def as_ome_tiff(folder: Path, image: np.ndarray) -> str:
    path = folder / "a.ome.tif"
    tifffile.imwrite(
        path, image, metadata={"axes": "TCZYX"}, ome=True, photometric="minisblack", tile=(16, 16)
    )
    return str(path)


def as_ome_zarr(folder: Path, image: np.ndarray) -> str:
    group = zarr.open_group(folder / "a.zarr", mode="w", zarr_format=2)
    made = group.create_array("0", shape=image.shape, dtype=image.dtype, chunks=(1, 1, 1, 16, 16))
    made[...] = image
    axes = [{"name": a} for a in "tczyx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
    return str(folder / "a.zarr")


FORMATS = [(czi, as_czi), (ome_tiff, as_ome_tiff), (ome_zarr, as_ome_zarr)]


@pytest.mark.parametrize(("loader", "write"), FORMATS, ids=["czi", "ome_tiff", "ome_zarr"])
def test_loaders_make_planes_one(loader, write, tmp_path) -> None:
    image = stack(2, 3, 5, 33, 40)
    path = write(tmp_path, image)
    for operation in OPERATIONS:
        catalog = loader.discover([path], z=operation)
        # Each time is an image still.
        assert catalog.numbers["t"].tolist() == [0, 1]
        assert "z" not in catalog.numbers
        assert catalog.notes == []
        assert len(set(catalog.image_names([0, 1]))) == 2
        assert (catalog.costs() >= 5 * 3 * 33 * 40 * 2).all()
        own = catalog.references(0, 2)
        info = loader.probe(own.sources[0], int(own.within[0]))
        kind = projected_type(operation, image.dtype)
        assert (info.shape, info.dtype) == ((3, 33, 40), kind)
        batch, failures = loader.read(own, [2, 0], kind)
        assert not failures
        expected = [twin(image[t].swapaxes(0, 1), operation)[[2, 0]] for t in range(2)]
        for t in range(2):
            np.testing.assert_array_equal(batch.image(t), expected[t])
        part, _ = loader.read(own, [2, 0], kind, window=(3, 7, 30, 39))
        np.testing.assert_array_equal(part.image(1), expected[1][:, 3:30, 7:39])
        (only,) = loader.discover([path], z=operation, t=1).references(0, 1).within
        assert only == own.within[1]


def test_a_real_stack(shared_dir: Path, tmp_path: Path) -> None:
    path = shared_dir / "data" / "czi" / "CD_s_1_t_3_c_2_z_5.czi"
    each = czi.discover([str(path)], z="each")
    planes, _ = czi.read(each.references(0, 15), None, np.dtype(np.uint16))
    for operation in OPERATIONS:
        catalog = czi.discover([str(path)], z=operation)
        batch, failures = czi.read(
            catalog.references(0, 3), None, projected_type(operation, np.dtype(np.uint16))
        )
        assert not failures
        for t in range(3):
            own = np.stack([planes.image(5 * t + z) for z in range(5)])
            np.testing.assert_array_equal(batch.image(t), twin(own, operation))


def test_a_run_projects(tmp_path: Path) -> None:
    image = stack(2, 2, 4, 20, 24)
    folder = tmp_path / "images"
    folder.mkdir()
    as_ome_tiff(folder, image)
    config = tmp_path / "scip.yml"
    config.write_text(TEXT % ("ome_tiff", "sum"))
    assert run(Alone(), Request(config, [str(folder)], tmp_path / "out", quiet=True)) == 0
    table = anndata.read_h5ad(tmp_path / "out" / "features.h5ad")
    assert table.obs.t.tolist() == [0, 1]
    found = table.to_df()["feat_raw_sum_CH1"]
    np.testing.assert_allclose(found, image[:, 1].sum(axis=(1, 2, 3), dtype=float), rtol=1e-6)
    # One of the images is not whole: it fails alone.
    shutil.copy(folder / "a.ome.tif", folder / "b.ome.tif")
    config.write_text(TEXT % ("ome_tiff", "median"))
    whole = (folder / "b.ome.tif").read_bytes()
    (folder / "b.ome.tif").write_bytes(whole[: len(whole) // 2])
    assert run(Alone(), Request(config, [str(folder)], tmp_path / "two", quiet=True)) == 0
    table = anndata.read_h5ad(tmp_path / "two" / "features.h5ad")
    assert table.obs.image.str.startswith("a.ome.tif").all()
    assert "b.ome.tif" in (tmp_path / "two" / "failures.csv").read_text()


def test_what_projection_refuses(tmp_path: Path) -> None:
    for text, words in (
        (TEXT % ("multiframe_tiff", "max"), "images of format multiframe_tiff have no planes in z"),
        (TEXT % ("czi", "maxi"), "did you mean 'max'"),
        ((TEXT % ("czi", "max")).replace("czi", "czi, kwargs: {z: 1}"), "takes all planes"),
        ((TEXT % ("czi", "max")).replace("{op: max}", "{}"), "required key is missing"),
    ):
        with pytest.raises(ConfigError, match=words):
            parse_config(text, "scip.yml")
    image = as_ome_tiff(tmp_path, stack(1, 1, 3, 8, 8))
    for z in (-1, 16320, 16383):
        with pytest.raises(UserError, match=f"load.kwargs.z: {z} is no plane"):
            ome_tiff.discover([image], z=z)
    # Shards hold what was projected before.
    config = parse_config(TEXT % ("ome_tiff", "max"), "scip.yml")
    assert suited(config, ["a.h5"]).project is None
    assert len(find_images(config, [image])) == 1
