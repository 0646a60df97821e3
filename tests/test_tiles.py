"""Fields in tiles give the table of whole fields, whoever has segmented which tile."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import tifffile
from launch import scip
from tables import digest

from scip_mpi import segmenting, tile_levels, tiles
from scip_mpi.apart import deaths
from scip_mpi.check import check
from scip_mpi.config import ConfigError, parse_config
from scip_mpi.errors import STOPPED
from scip_mpi.job import Request
from scip_mpi.loaders import picture, tiff_file
from scip_mpi.parallel.inprocess import run_threads
from scip_mpi.parallel.roles import Sight
from scip_mpi.parallel.world import Alone
from scip_mpi.plan import find_images, make_plan
from scip_mpi.run import run
from scip_mpi.segmenting import segment
from scip_mpi.signals import StopFlag
from scip_mpi.stages import build_stages, tiles_of
from scip_mpi.tile_objects import crops_of
from scip_mpi.timers import Timers

TILES = "tiles: {size: 64, halo: 16}"
LOAD = """\
load:
  format: FORMAT
  channel_names: [DNA, GFP]
  offset: [3, 2]
  kwargs: {regex: 'field[0-9].tif$'}
  companions:
    cells: {match: '\\.tif$', replace: '.cells.tif'}
    nuclei: {match: '\\.tif$', replace: '.nuclei.tif'}
"""
REST = """\
background: {DNA: ring, GFP: 5}
normalization: {lower: 0.02, upper: 0.98}
filter: {name: range, statistic: area, channel: DNA, lower: 12, action: flag}
"""
FEATURES = "feature_extraction: [shape, intensity, texture, bbox, regions]\n"
THRESHOLD = """\
segment:
  method: threshold
  settings:
    parent_channel_index: DNA
    threshold: li
    children: {GFP: {threshold: otsu}}
    expansion: 3
    min_size: 6
    max_size: 4000
    border: drop
    subtract: {left_index: GFP, right_index: DNA, for_index: GFP}
"""
THRESHOLD += FEATURES
LABELS = """\
segment:
  method: labels
  settings: {parent_channel_index: GFP, companion: cells, children: {DNA: {companion: nuclei}}}
mask:
  main_channel_index: GFP
  methods:
    - {method: segmented, name: cell, border: keep, kwargs: {channel: GFP}}
    - {method: otsu, name: otsu}
feature_extraction:
  cell: [shape, intensity, bbox, regions]
  otsu: [intensity, bbox, regions]
"""
WATERSHED = """\
segment:
  method: watershed
  settings: {parent_channel_index: DNA, cell_diameter: 11, threshold: otsu}
"""
WATERSHED += FEATURES
CONFIGS = {"threshold": THRESHOLD, "labels": LABELS, "watershed": WATERSHED}


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two fields in tiles of 64 pixels, one across; one field is no larger than a tile."""
    folder = tmp_path_factory.mktemp("fields")
    rng = np.random.default_rng(7)
    for k, shape in enumerate([(150, 170), (40, 60), (61, 200)]):
        y, x = np.mgrid[: shape[0], : shape[1]]
        image = rng.normal(100, 5, (2, *shape))
        cells, nuclei = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        for n in range(shape[0] * shape[1] // 260):
            cy, cx, r = rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), rng.uniform(3, 6)
            away = np.hypot(y - cy, x - cx)
            image[0] += 400 * rng.uniform(0.5, 2) / (1 + np.exp(2 * (away - r)))
            image[1] += 300 * rng.uniform(0.5, 2) / (1 + np.exp(2 * (away - 1.4 * r)))
            # Labels in any order, with gaps.
            cells[away < 1.6 * r] = 977 * (n + 1) % 1009 + 70_000
            nuclei[away < r] = n + 1
        # One that goes through many tiles.
        image[0, shape[0] // 2, 5:-5] += 900
        cells[shape[0] // 2, 5:-5] = 3
        stored = {"tile": (32, 32), "compression": "zlib"} if k == 0 else {}
        tifffile.imwrite(
            folder / f"field{k}.tif", image.astype(np.uint16), photometric="minisblack", **stored
        )
        tifffile.imwrite(folder / f"field{k}.cells.tif", cells, **stored)
        tifffile.imwrite(folder / f"field{k}.nuclei.tif", nuclei)
    (folder / "field3.tif").write_bytes(b"II*\0 no picture")
    # Nothing in it.
    blank = np.full((130, 70), 9, np.uint16)
    for name, planes in (("tif", np.stack([blank] * 2)), ("cells.tif", blank * 0)):
        tifffile.imwrite(folder / f"field4.{name}", planes, photometric="minisblack")
    tifffile.imwrite(folder / "field4.nuclei.tif", blank)
    return folder


def do(
    fields: Path, out: Path, method: str, in_tiles: bool, size: int = 1, extra: str = ""
) -> dict[str, str]:
    text = LOAD.replace("FORMAT", "multiframe_tiff") + CONFIGS[method] + REST + extra
    if method != "labels":
        text = text[: text.index("  companions")] + text[text.index("segment:") :]
    if in_tiles:
        text = text.replace("segment:\n", f"segment:\n  {TILES}\n")
    config = out.with_suffix(".yml")
    config.write_text(text)
    request = Request(config, [str(fields)], out, quiet=True)
    if size == 1:
        assert run(Alone(), request) == 0
    else:
        assert run_threads(size, lambda world: run(world, request)) == [0] * size
    assert not (out / ".scip_mpi").exists()
    return digest(out)


@pytest.mark.parametrize("method", ["threshold", "labels"])
def test_the_table_is_that_of_whole_fields(method: str, fields: Path, tmp_path: Path) -> None:
    whole = do(fields, tmp_path / "whole", method, False)
    table = anndata.read_h5ad(tmp_path / "whole" / "features.h5ad")
    assert {"field0.tif", "field2.tif"} <= set(table.obs.image)
    assert len(table) > 30
    failures = (tmp_path / "whole" / "failures.csv").read_text().splitlines()
    assert len(failures) == 2
    images = pd.read_parquet(tmp_path / "whole" / "images.parquet")
    del whole["images.parquet"]
    told = set()
    for size in (1, 2, 5):
        extra = "resources: {segmenters: 1, memory: 1000}\n" if size == 5 else ""
        tiled = do(fields, tmp_path / str(size), method, True, size, extra)
        told.add(tiled.pop("images.parquet"))
        assert tiled == whole
        # Sums of fractions over whole fields are taken in another order.
        own = pd.read_parquet(tmp_path / str(size) / "images.parquet")
        pd.testing.assert_frame_equal(own, images, rtol=1e-9)
    assert len(told) == 1


def test_the_watersheds_objects_are_nearly_all_those_of_whole_fields(
    fields: Path, tmp_path: Path
) -> None:
    do(fields, tmp_path / "whole", "watershed", False)
    digests = [do(fields, tmp_path / str(n), "watershed", True, n) for n in (1, 3)]
    assert digests[0] == digests[1]
    whole, tiled = (objects_of(tmp_path / name, "DNA", "GFP") for name in ("whole", "1"))
    # The line through all of a field is parted by seeds that hang on all of its length.
    assert len(whole & tiled) >= 0.9 * len(whole | tiled)


FLY = """\
load:
  format: tiff
  kwargs: {regex: '(?i)(?P<id>POS002)_(?P<channel>[DF])\\.tif$'}
segment:
  method: METHOD
background: {D: ring, F: 0}
feature_extraction: [shape, intensity, bbox]
"""
FLY_SETTINGS = {
    "threshold": "children: [F], min_size: 60",
    "watershed": "cell_diameter: 24, threshold: otsu, min_size: 60",
}


def do_fly(shared_dir: Path, out: Path, method: str, size: int = 1, more: str = "") -> None:
    own = f"METHOD\n  settings: {{parent_channel_index: D, {FLY_SETTINGS[method]}}}\n{more}"
    config = out.with_suffix(".yml")
    config.write_text(FLY.replace("METHOD\n", own).replace("METHOD", method))
    images = [str(shared_dir / "data" / "cp_example_fly" / "images")]
    request = Request(config, images, out, quiet=True)
    assert run_threads(size, lambda world: run(world, request)) == [0] * size


def test_fly_cells_above_a_threshold_are_those_of_whole_fields(
    shared_dir: Path, tmp_path: Path
) -> None:
    do_fly(shared_dir, tmp_path / "whole", "threshold")
    whole = digest(tmp_path / "whole")
    assert len(anndata.read_h5ad(tmp_path / "whole" / "features.h5ad")) > 200
    for size in (1, 2, 5):
        more = "  tiles: {size: 400, halo: 16}\n"
        do_fly(shared_dir, tmp_path / str(size), "threshold", size, more)
        # Whole numbers: even the images' sums are the same.
        assert digest(tmp_path / str(size)) == whole


def test_fly_cells_by_watershed_are_nearly_those_of_whole_fields(
    shared_dir: Path, tmp_path: Path
) -> None:
    do_fly(shared_dir, tmp_path / "whole", "watershed")
    do_fly(shared_dir, tmp_path / "out", "watershed", 2, "  tiles: {size: 512, halo: 64}\n")
    whole, tiled = (objects_of(tmp_path / name, "D", "F") for name in ("whole", "out"))
    assert len(whole & tiled) >= 0.99 * len(whole | tiled)


def objects_of(out: Path, first: str, second: str) -> set[tuple[object, ...]]:
    """Image, box and intensities of all objects of a table."""
    table = anndata.read_h5ad(out / "features.h5ad")
    obs = table.obs
    columns = [obs[c] for c in obs if c == "image" or "bbox" in c]
    values = table.to_df()[[f"feat_sum_{first}", f"feat_mean_{second}"]].to_numpy().T.tolist()
    return set(zip(*columns, *values, strict=True))


def test_a_run_goes_on_with_the_tiles_that_are_there(
    fields: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = do(fields, tmp_path / "undisturbed", "threshold", True)
    out, stop, labelled = tmp_path / "disturbed", StopFlag(), list[int]()
    label_tile, calls = tiles.methods.label_tile, Counter[str]()

    def counted(*given: Any) -> Any:
        labelled.append(given[2])
        return label_tile(*given)

    monkeypatch.setattr(tiles.methods, "label_tile", counted)
    for module, name in (
        (tile_levels, "find_levels"),
        (tiles, "segment_tile"),
        (tiles, "number_tile"),
    ):
        real = getattr(module, name)

        def disturbed(*given: Any, real: Any = real, name: str = name) -> None:
            # Each step is disturbed once, after some tiles: two by errors, one by a signal.
            calls[name] += 1
            if calls[name] == 2 and name == "number_tile":
                stop.signal = "SIGTERM"
            elif calls[name] == 2:
                raise InterruptedError(name)
            real(*given)

        monkeypatch.setattr(module, name, disturbed)
    for _ in range(2):
        with pytest.raises(InterruptedError):
            do(fields, out, "threshold", True)
    request = Request(out.with_suffix(".yml"), [str(fields)], out, quiet=True)
    assert run(Alone(), request, stop) == STOPPED
    assert do(fields, out, "threshold", True) == whole
    # Of 9, 4 and 6 tiles each channel was labelled once.
    assert len(labelled) == 19 * len(set(labelled))


LARGE = """\
load: {format: multiframe_tiff, channel_names: [DNA]}
segment:
  method: threshold
  settings: {min_size: 30}
feature_extraction: [shape]
resources: {memory: 64 MiB}
"""


@pytest.mark.mpi
@pytest.mark.ranks(2)
def test_a_large_field_takes_a_part_of_the_memory_of_one_that_is_read_whole(
    tmp_path: Path,
) -> None:
    side, step = 4000, 80
    rng = np.random.default_rng(0)
    image = rng.integers(90, 110, (side, side)).astype(np.uint16)
    disc = np.hypot(*(np.mgrid[:40, :40] - 20)) < 17
    for row in range(0, side, step):
        for column in range(0, side, step):
            y, x = np.array([row, column]) + rng.integers(0, step - 40, 2)
            image[y : y + 40, x : x + 40] += disc.astype(np.uint16) * np.uint16(500)
    tifffile.imwrite(tmp_path / "field.tif", image)
    digests, peaks = [], []
    for name, ranks in (("whole", 1), ("tiles", 2)):
        text = LARGE
        if name == "tiles":
            text = text.replace("segment:\n", "segment:\n  tiles: {size: 1000, halo: 8}\n")
        config, out = tmp_path / f"{name}.yml", tmp_path / name
        config.write_text(text)
        done = scip("run", config, tmp_path / "field.tif", "-o", out, "-q", ranks=ranks)
        assert done.returncode == 0, done.stderr
        digests.append(digest(out))
        told = json.loads((out / "run.json").read_text())
        peaks.append(max(rank["peak_memory_bytes"] for rank in told["ranks"]))
    assert digests[0] == digests[1]
    assert len(anndata.read_h5ad(tmp_path / "tiles" / "features.h5ad")) == (side // step) ** 2
    # Labels and runs of all of it take a dozen bytes a pixel.
    assert peaks[1] < peaks[0] - 4 * side * side


def test_an_image_that_is_tried_apart_is_tried_in_tiles(fields: Path, tmp_path: Path) -> None:
    text = LOAD.replace("FORMAT", "multiframe_tiff") + CONFIGS["labels"] + REST
    config = parse_config(text.replace("segment:\n", f"segment:\n  {TILES}\n"), "scip.yml")
    catalog = find_images(config, [str(fields)])
    plan = make_plan(config, catalog, [Sight("here")])
    tried: list[int] = []

    def counted(*given: Any) -> Any:
        tried.append(given[3])
        return segment_tile(*given)

    segment_tile = tiles.segment_tile
    stages = replace(build_stages(plan), tiles=tiles_of(plan, tmp_path / "tiles"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "segment_tile", counted)
        tiles.tile_alone(stages.tiles, stages, catalog.references(0, 1))
        tiles.tile_alone(stages.tiles, stages, catalog.references(1, 2))
    assert tried == list(range(9))
    assert deaths(plan, catalog.references(0, 2), lambda: False, lambda: None) == []
    record, pixels = segment(stages, catalog.references(0, 1), Timers())
    assert pixels is None
    # By the labels, though they were found tile by tile.
    assert (np.diff(record.objects().label) > 0).all()
    assert len(record.objects()) == record.found[0] > 20


def test_check_reads_no_large_field_whole(
    fields: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture, "decode", None)
    monkeypatch.setattr(tiff_file.TiffReader, "decode", None)
    text = LOAD[: LOAD.index("  companions")].replace("FORMAT", "multiframe_tiff")
    text += CONFIGS["threshold"].replace("segment:\n", f"segment:\n  {TILES}\n") + REST
    config = tmp_path / "scip.yml"
    config.write_text(text)
    told = "\n".join(check(config, [str(fields / "field0.tif")], 1))
    assert "fields larger than 64 pixels are cut, with 16 pixels around each tile" in told
    assert "150 to 150 rows, 170 to 170 columns" in told


def test_a_file_that_changes_is_a_failure(fields: Path, tmp_path: Path) -> None:
    folder = tmp_path / "fields"
    folder.mkdir()
    path = folder / "field0.tif"
    tifffile.imwrite(path, tifffile.imread(fields / "field0.tif"), photometric="minisblack")
    text = LOAD[: LOAD.index("  companions")].replace("FORMAT", "multiframe_tiff")
    text += CONFIGS["threshold"] + REST
    config = parse_config(text.replace("segment:\n", f"segment:\n  {TILES}\n"), "scip.yml")
    catalog = find_images(config, [str(folder)])
    plan = make_plan(config, catalog, [Sight("here")])
    stages = replace(build_stages(plan), tiles=tiles_of(plan, tmp_path / "tiles"))
    one = catalog.references(0, 1)
    assert stages.tiles is not None
    tiles.tile_alone(stages.tiles, stages, one)
    masks = segment(stages, one, Timers())[0].objects()
    tifffile.imwrite(path, np.zeros((2, 100, 90), np.uint16), photometric="minisblack")
    record, _ = segment(stages, one, Timers())
    assert record.found.tolist() == [-1]
    assert record.failed()[0].error == "the image changed during the run"
    crops, failures = crops_of(stages.tiles, stages, one, masks)
    assert len(crops) < len(masks)
    assert "does not hold the window" in failures[0].error


def test_a_tile_without_memory_is_its_fields_failure(
    fields: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starved(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(tiles.methods, "label_tile", starved)
    do(fields, tmp_path / "a", "watershed", True, 2)
    monkeypatch.undo()
    monkeypatch.setattr(segmenting, "read_region", starved)
    do(fields, tmp_path / "b", "watershed", True, 2)
    for name in "ab":
        failures = pd.read_csv(tmp_path / name / "failures.csv")
        assert failures.image.tolist() == [f"field{k}.tif" for k in (0, 2, 3, 4)]
        assert failures.stage.tolist() == ["segment", "segment", "read", "segment"]
        assert failures.error[0].startswith("not enough memory")


def test_a_part_that_cannot_be_read_is_the_fields_failure(fields: Path, tmp_path: Path) -> None:
    folder = tmp_path / "fields"
    folder.mkdir()
    image = np.random.default_rng(0).integers(0, 999, (2, 150, 170)).astype(np.uint16)
    for k in range(2):
        tifffile.imwrite(folder / f"field{k}.tif", image, tile=(32, 32), compression="zlib",
                         photometric="minisblack")  # fmt: skip
    with tifffile.TiffFile(folder / "field0.tif") as tif:
        offset, count = tif.pages[1].dataoffsets[-1], tif.pages[1].databytecounts[-1]
    with (folder / "field0.tif").open("r+b") as file:
        file.seek(offset)
        file.write(bytes(count))
    for method in ("threshold", "watershed"):
        told = do(folder, tmp_path / f"{method}1", method, True)
        assert do(folder, tmp_path / f"{method}3", method, True, 3) == told
        failures = pd.read_csv(tmp_path / f"{method}1" / "failures.csv")
        assert failures.image.tolist() == ["field0.tif"]
        assert failures.stage.tolist() == ["read"]
        table = anndata.read_h5ad(tmp_path / f"{method}1" / "features.h5ad")
        assert set(table.obs.image) == {"field1.tif"}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (("tiles: {size: 64, halo: 16}", "tiles: {size: 64, halo: 40}"), "segment.tiles"),
        (("cell_diameter: 11, ", ""), "segment.settings.cell_diameter"),
        (("cell_diameter: 11", "expansion: 16, cell_diameter: 11"), "segment.settings.expansion"),
        (
            ("cell_diameter: 11", "expansion: {GFP: 2}, cell_diameter: 11"),
            "segment.settings.expansion.GFP",
        ),
        (("  method:", "  export: true\n  method:"), "segment.export"),
        (("background: {DNA: ring", "background: {DNA: field_median"), "background.DNA"),
        (("segment:", "illumination_correction: {method: gaussian}\nsegment:"),
         "illumination_correction"),
    ],
)  # fmt: skip
def test_what_needs_all_of_a_field_is_refused(change: tuple[str, str], path: str) -> None:
    text = LOAD.replace("FORMAT", "multiframe_tiff") + CONFIGS["watershed"] + REST
    text = text.replace("segment:\n", f"segment:\n  {TILES}\n")
    parse_config(text, "scip.yml")
    assert change[0] in text
    with pytest.raises(ConfigError) as raised:
        parse_config(text.replace(*change), "scip.yml")
    assert [p.key_path for p in raised.value.problems] == [path]
