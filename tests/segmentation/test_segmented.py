"""Cells, nuclei and cytoplasm as mask sets, on label images whose every pixel is known."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest
import tifffile
import zarr
from tables import digest

from scip_mpi.config import ConfigError, parse_config
from scip_mpi.job import Request
from scip_mpi.loaders import ome_zarr
from scip_mpi.parallel.inprocess import run_threads
from scip_mpi.parallel.world import Alone
from scip_mpi.results.label_zarr import write_zarr
from scip_mpi.run import run

TEXT = """\
load:
  format: multiframe_tiff
  channel_names: [GFP, DNA]
  kwargs: {regex: '/[0-9]\\.tif$'}
  companions:
    cells: {match: '\\.tif$', replace: '_cells.tif'}
    nuclei: {match: '\\.tif$', replace: '_nuclei.tif'}
segment:
  method: labels
  settings: {parent_channel_index: GFP, companion: cells, children: {DNA: {companion: nuclei}}}
mask:
  main_channel_index: GFP
  methods:
    - {method: segmented, name: cell, border: keep, kwargs: {channel: GFP}}
    - {method: segmented, name: nucleus, border: keep, kwargs: {channel: 1}}
    - {method: segmented, name: cytoplasm, border: keep, kwargs: {channel: GFP, without: DNA}}
    - {method: segmented, name: own, border: keep}
feature_extraction:
  cell: [shape, intensity, regions]
  nucleus: [intensity, regions]
  cytoplasm: [intensity, regions]
  own: [intensity]
"""


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fields")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:70, :90]
    for k in range(3):
        cells, nuclei = np.zeros((70, 90), np.uint16), np.zeros((70, 90), np.uint16)
        for label, (cy, cx) in enumerate(((18, 20), (22, 60), (50, 40 + k)), 1):
            cells[np.hypot(y - cy, x - cx) < 14] = label
            # The last cell has no nucleus; nuclei are numbered in another order.
            if label < 3:
                nuclei[np.hypot(y - cy - 2, x - cx) < 5] = 7 - label
        image = rng.integers(0, 4096, (2, 70, 90)).astype(np.uint16)
        for name, plane in (("", image), ("_cells", cells), ("_nuclei", nuclei)):
            tifffile.imwrite(folder / f"{k}{name}.tif", plane, photometric="minisblack")
    return folder


def test_cytoplasm_is_cell_without_nucleus(fields: Path, tmp_path: Path) -> None:
    config = tmp_path / "scip.yml"
    config.write_text(TEXT)
    request = Request(config, [str(fields)], tmp_path / "out", quiet=True)
    assert run(Alone(), request) == 0
    table = anndata.read_h5ad(tmp_path / "out" / "features.h5ad")
    frame = table.to_df()
    assert len(frame) == 9
    for name, row in frame.iterrows():
        k, label = int(table.obs.image[name][0]), int(table.obs.object[name])
        image, cells, nuclei = (
            tifffile.imread(fields / f"{k}{n}.tif") for n in ("", "_cells", "_nuclei")
        )
        cell = cells == label
        nucleus = nuclei == (7 - label if label < 3 else -1)
        sets = {"cell": (cell, cell), "nucleus": (nucleus, nucleus),
                "cytoplasm": (cell & ~nucleus,) * 2, "own": (cell, nucleus)}  # fmt: skip
        for which, masks in sets.items():
            if which == "nucleus" and label == 3:
                # No mask of the main channel: the cell has no columns in this set.
                assert np.isnan(row["feat_nucleus_mean_GFP"])
                continue
            for c, channel in enumerate(("GFP", "DNA")):
                mean = image[c][masks[c]].mean() if masks[c].any() else 0
                assert row[f"feat_{which}_mean_{channel}"] == pytest.approx(mean, rel=1e-6)
        assert row["feat_cell_area_GFP"] == cell.sum()
        assert table.obs.loc[name, "cytoplasm_regions_DNA"] == 1
        assert table.obs.loc[name, "nucleus_regions_GFP"] == (label < 3)
    config.write_text(TEXT + "resources: {segmenters: 1, chunk_size: 1, memory: 1000}\n")
    request = Request(config, [str(fields)], tmp_path / "ranks", quiet=True)
    assert run_threads(3, lambda world: run(world, request)) == [0] * 3
    assert digest(tmp_path / "ranks") == digest(tmp_path / "out")


def exported(path: Path) -> np.ndarray:
    """A label image as tifffile or zarr-python reads it."""
    if path.suffix != ".zarr":
        with tifffile.TiffFile(path) as file:
            assert file.is_ome == path.name.endswith(".ome.tif")
            return file.asarray()
    group = zarr.open_group(path, mode="r")
    assert group.attrs["image-label"] == {"version": "0.4"}
    (scales,) = group.attrs["multiscales"]
    assert [a["name"] for a in scales["axes"]] == ["c", "y", "x"]
    return group[scales["datasets"][0]["path"]][...]


def test_label_images(fields: Path, tmp_path: Path) -> None:
    config = tmp_path / "scip.yml"
    for form, suffix in (("true", ".tif"), ("ome_zarr", ".zarr"), ("ome_tiff", ".ome.tif"),
                         ("tiff", ".tif")):  # fmt: skip
        text = TEXT.replace("method: labels", f"method: labels\n  export: {form}")
        config.write_text(text)
        out = tmp_path / "out"
        # What an earlier run has left, whatever its form, is gone.
        request = Request(config, [str(fields)], out, quiet=True, overwrite=True)
        assert run(Alone(), request) == 0
        found = sorted((out / "labels").iterdir())
        assert [p.name for p in found] == [f"{k:06d}_{k}{suffix}" for k in range(3)]
        for k, path in enumerate(found):
            cells, nuclei = (tifffile.imread(fields / f"{k}_{n}.tif") for n in ("cells", "nuclei"))
            own = np.where(nuclei > 0, 7 - nuclei, 0)
            np.testing.assert_array_equal(exported(path), [cells, own])


def test_a_label_image_of_several_chunks(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 1 << 40, (1030, 2050)).astype(np.uint64)
    written = write_zarr(tmp_path / "a.zarr", image)
    assert set(written) == set((tmp_path / "a.zarr").rglob("*")) | {tmp_path / "a.zarr"}
    np.testing.assert_array_equal(zarr.open_group(tmp_path / "a.zarr", mode="r")["0"][...], image)
    # Our own loader reads it too.
    catalog = ome_zarr.discover([str(tmp_path / "a.zarr")])
    batch, failures = ome_zarr.read(catalog.references(0, 1), None, image.dtype)
    assert not failures
    np.testing.assert_array_equal(batch.image(0)[0], image)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("name: own, border: keep", "name: own", "write border: keep"),
        ("without: DNA", "without: DNS", "no channel is called 'DNS'"),
        ("channel: 1", "channel: 2", "no channel 2"),
        ("channel: 1", "chanel: 1", "did you mean 'channel'"),
    ],
)
def test_what_is_refused(old: str, new: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_config(TEXT.replace(old, new), "scip.yml")


def test_without_segmentation_there_are_no_objects() -> None:
    lo, hi = TEXT.index("segment:\n"), TEXT.index("mask:\n")
    with pytest.raises(ConfigError, match="there are no segmented objects without"):
        parse_config(TEXT[:lo] + TEXT[hi:], "scip.yml")
