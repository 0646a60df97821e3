"""Lengths and areas in micrometres, and what keeps a table from having them."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest
import tifffile
from czi_encoder import described, write_czi
from skimage.measure import regionprops

from scip_mpi.check import check
from scip_mpi.config import parse_config
from scip_mpi.errors import UserError
from scip_mpi.job import Request
from scip_mpi.loaders import czi, ome_tiff
from scip_mpi.parallel.world import Alone
from scip_mpi.plan import find_images
from scip_mpi.run import run
from scip_mpi.units import pixel_size

TEXT = """\
load: {format: %s}
mask:
  methods: [{method: threshold, name: bright, kwargs: {method: fixed, value: 100}}]
feature_extraction: {bright: [shape, intensity, texture, bbox]}
units: %s
"""


def write(path: Path, size: float | None, height: float | None = None) -> Path:
    """A bright rectangle of 10 x 6 pixels, and beside it none."""
    image = np.random.default_rng(0).integers(0, 50, (30, 40)).astype(np.uint16)
    image[8:18, 20:26] += 200
    told = {} if size is None else {
        "PhysicalSizeX": size, "PhysicalSizeY": height or size,
        "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm",
    }  # fmt: skip
    tifffile.imwrite(path, image, ome=True, metadata={"axes": "YX", **told})
    return path


def table(folder: Path, unit: str, load: str = "ome_tiff", images: str = "") -> anndata.AnnData:
    config = folder / f"{unit}.yml"
    config.write_text(TEXT % (load, unit))
    out = folder / f"out_{unit}"
    request = Request(config, [images or str(folder)], out, quiet=True, overwrite=True)
    assert run(Alone(), request) == 0
    return anndata.read_h5ad(out / "features.h5ad")


def test_lengths_and_areas_are_in_micrometres(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    write(folder / "a.ome.tif", 0.5)
    pixels, um = table(tmp_path, "pixel"), table(tmp_path, "um")
    assert list(um.var_names) == list(pixels.var_names)
    assert um.obs.equals(pixels.obs)
    found, unit = um.to_df().iloc[0], um.var["unit"].astype(str)
    # 10 x 6 pixels of half a micrometre.
    area = "feat_bright_area_CH0"
    assert (found[area], unit[area]) == (15.0, "um^2")
    name = "feat_bright_equivalent_diameter_CH0"
    assert found[name] == pytest.approx(np.sqrt(4 * 15 / np.pi), rel=1e-6)
    assert unit[name] == "um"
    (own,) = regionprops(np.pad(np.ones((10, 6), int), 3))
    assert found["feat_bright_feret_diameter_max_CH0"] == pytest.approx(
        0.5 * own.feret_diameter_max, rel=1e-6
    )
    # Everything else is as it was, to the last bit.
    others = ~unit.str.startswith("um").to_numpy()
    np.testing.assert_array_equal(um.X[:, others], pixels.X[:, others])
    before = pixels.var["unit"].astype(str)
    assert (unit[others] == before[others]).all()
    assert not unit.str.contains("pixel").any()
    # A half and its powers round nothing: columns are scaled by what their unit says.
    power = before[~others].str.extract(r"(\d)")[0].fillna("1").astype(int)
    np.testing.assert_array_equal(um.X[:, ~others], pixels.X[:, ~others] * 0.5 ** power.to_numpy())
    assert set(power) == {1, 2, 3, 4, 5, 6, 7, 8}


def size_of(paths: list[Path], extra: str = "", load: str = "ome_tiff") -> float | None:
    config = parse_config((TEXT % (load + extra, "um")), "scip.yml")
    return pixel_size(config, find_images(config, [str(p) for p in paths]))


def test_where_the_size_comes_from(tmp_path: Path) -> None:
    one, other, none = tmp_path / "1.ome.tif", tmp_path / "2.ome.tif", tmp_path / "3.ome.tif"
    write(one, 0.5)
    write(other, 0.65)
    write(none, None)
    assert size_of([one]) == 0.5
    given = ", pixel_size: 0.25"
    assert size_of([one, other, none], given) == 0.25
    assert size_of([none], given, "multiframe_tiff") == 0.25
    with pytest.raises(UserError, match=r"1\.ome\.tif are 0\.5 um, of 2\.ome\.tif 0\.65 um"):
        size_of([one, other])
    for paths, load in (([one, none], "ome_tiff"), ([none], "multiframe_tiff")):
        with pytest.raises(UserError, match=r"3\.ome\.tif does not tell.*give load\.pixel_size"):
            size_of(paths, "", load)
    # Rounding of the same size is no other size; pixels that are not square have none.
    write(other, 0.5 * (1 + 1e-8))
    assert size_of([one, other]) == 0.5
    write(other, 0.5, 0.6)
    with pytest.raises(UserError, match="not square"):
        size_of([one, other])
    # What cannot be read will be a failure, and keeps nobody from the others' size.
    other.write_bytes(b"no TIFF")
    assert size_of([one, other]) == 0.5
    config = tmp_path / "scip.yml"
    config.write_text(TEXT % ("ome_tiff", "um"))
    lines = list(check(config, [str(one)], 1))
    assert "units       lengths and areas in um, 0.5 um a pixel" in lines


def test_sides_of_a_pixel(tmp_path: Path) -> None:
    xml = described({}, ["A"], 5e-7)
    tall = xml.replace("</Items>", '<Distance Id="Y"><Value>6e-7</Value></Distance></Items>')
    block = [({"X": 0, "Y": 0}, np.ones((4, 5), np.uint16))]
    catalog = czi.discover([write_czi(tmp_path / "a.czi", block, tall)])
    assert "pixel_size" not in catalog.numbers
    catalog = czi.discover([write_czi(tmp_path / "a.czi", block, tall.replace("6e-7", "5e-7"))])
    np.testing.assert_allclose(catalog.numbers["pixel_size"], 0.5)
    write(tmp_path / "a.ome.tif", 0.5, 0.7)
    assert "pixel_size" not in ome_tiff.discover([str(tmp_path)]).numbers
