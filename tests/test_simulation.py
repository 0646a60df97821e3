"""Simulated cells: decided by seed and number, plausible, and written as the loaders expect."""

from __future__ import annotations

import csv
from collections import Counter

import numpy as np
import pytest
import tifffile
import yaml
from skimage import filters, morphology

from scip_mpi import simulation
from scip_mpi.errors import UserError
from scip_mpi.loaders import multiframe_tiff, packed


@pytest.fixture(scope="module")
def cells():
    return [simulation.cell(3, i) for i in range(400)]


def test_shapes_types_and_range(cells):
    for image, truth in cells:
        c, h, w = image.shape
        assert (c, h, w) == (12, truth["height"], truth["width"])
        assert min(h, w) >= 48
        assert max(h, w) <= 72
        assert image.dtype == np.uint16
        assert image.max() <= 4095
    assert len({(t["height"], t["width"]) for _, t in cells}) > 100


def test_a_cell_depends_on_seed_and_number_only():
    image, truth = simulation.cell(5, 17)
    again, truth_again = simulation.cell(5, 17)
    np.testing.assert_array_equal(image, again)
    assert truth == truth_again
    few, truth_few = simulation.cell(5, 17, channels=3)
    np.testing.assert_array_equal(few, image[:3])
    assert truth_few == truth
    for seed, number in ((5, 18), (6, 17), (17, 5)):
        other, _ = simulation.cell(seed, number)
        assert other.shape != image.shape or (other != image).mean() > 0.5


def test_every_kind_occurs_as_often_as_said(cells):
    counts = Counter(t["kind"] for _, t in cells)
    assert set(counts) == set(simulation.KINDS)
    assert sum(k.share for k in simulation.KINDS.values()) == pytest.approx(1)
    for name, kind in simulation.KINDS.items():
        spread = np.sqrt(400 * kind.share * (1 - kind.share))
        assert abs(counts[name] - 400 * kind.share) < 4 * spread
    assert 0.02 < np.mean([not t["in_focus"] for _, t in cells]) < 0.15
    assert 0 < sum(t["doublet"] for _, t in cells) < 40


def test_markers_tell_the_kinds_apart(cells):
    # Mean above the dark level, within the bounding box of the middle of the image.
    def signal(channel, kind):
        c = simulation.CHANNELS.index(channel)
        chosen = [i[c] for i, t in cells if t["kind"] == kind and not t["doublet"]]
        return np.median([x[12:-12, 12:-12].mean() for x in chosen]) - simulation.DARK

    for marker, kind in (
        ("CD15", "neutrophil"), ("Siglec8", "eosinophil"), ("CD14", "monocyte"), ("CD19", "B"),
        ("CD56", "NK"), ("CD4", "T_CD4"), ("CD8", "T_CD8"),
    ):  # fmt: skip
        others = [signal(marker, k) for k in simulation.KINDS if k != kind]
        assert signal(marker, kind) > 2 * max(others)
    scatter = [signal("SSC", k) for k in ("T_CD4", "monocyte", "neutrophil", "eosinophil")]
    assert scatter == sorted(scatter)


def test_bright_field_has_its_background_about_mid_range(cells):
    for image, _ in cells[:50]:
        border = np.concatenate([image[0, 0], image[0, -1]])
        assert 1700 < np.median(border) < 2150


def test_focus_shows_in_the_gradient(cells):
    sharp = [filters.sobel(i[0].astype(float)).max() for i, t in cells if t["in_focus"]]
    blurred = [
        filters.sobel(i[0].astype(float)).max()
        for i, t in cells
        if not t["in_focus"] and t["kind"] != "debris"
    ]
    assert np.median(blurred) < 0.6 * np.median(sharp)


def test_the_main_channel_has_a_mask_that_covers_the_cell(cells):
    found = covered = 0
    real = [(i, t) for i, t in cells[:100] if t["kind"] != "debris"]
    for image, truth in real:
        # The `li` mask of scip.md, written with scikit-image.
        smooth = filters.gaussian(image[0], 0.5)
        edges = filters.gaussian(filters.sobel(smooth), 1.0)
        mask = edges > filters.threshold_li(edges)
        mask = morphology.closing(mask, morphology.disk(1))
        filled = morphology.flood_fill(np.pad(mask, 1).astype(int), (0, 0), 2)[1:-1, 1:-1] != 2
        row, column = round(truth["row"]), round(truth["column"])
        found += mask.sum() > 20
        covered += bool(filled[row, column])
    assert found >= 0.99 * len(real)
    assert covered >= 0.95 * len(real)


def test_write(tmp_path):
    simulation.write(tmp_path / "a", 7, channels=3, seed=9, groups=3)
    simulation.write(tmp_path / "b", 4, channels=3, seed=9, groups=3)
    catalog = multiframe_tiff.discover([str(tmp_path / "a" / "images")])
    assert catalog.groups == ["sample_1", "sample_2", "sample_3"]
    with open(tmp_path / "a" / "truth.csv") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(r["image"] for r in rows) == catalog.names
    for number, row in enumerate(rows):
        image, truth = simulation.cell(9, number, 3)
        path = tmp_path / "a" / "images" / row["image"]
        assert path.name == f"cell_{number:08d}.tiff"
        np.testing.assert_array_equal(tifffile.imread(path), image)
        assert {k: row[k] for k in truth} == {k: str(v) for k, v in truth.items()}
        other = tmp_path / "b" / "images" / row["image"]
        assert other.exists() == (number < 4)
        if number < 4:
            assert other.read_bytes() == path.read_bytes()
    batch, failures = multiframe_tiff.read(catalog.references(0, 7), None, np.dtype("u2"))
    assert not failures
    assert batch.channels == 3


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 12])
def test_pages_are_channels_for_any_number_of_them(tmp_path, channels):
    simulation.write(tmp_path, 1, channels=channels)
    [path] = tmp_path.glob("images/*/*.tiff")
    with tifffile.TiffFile(path) as tif:
        assert len(tif.pages) == channels
    config = yaml.safe_load((tmp_path / "scip.yml").read_text())
    assert len(config["load"]["channels"]) == channels
    assert config["load"]["channel_names"] == list(simulation.CHANNELS[:channels])
    assert len(config["mask"]["methods"][0]["kwargs"]["smooth"]) == channels
    assert all(i < channels for i in config["mask"]["combined_indices"])
    assert set(config["feature_extraction"]) == {m["name"] for m in config["mask"]["methods"]}


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match="is not empty"):
        simulation.write(tmp_path, 1)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(UserError, match="channels must be 1 to 12, not 13"):
        simulation.write(tmp_path / "new", 1, channels=13)
    with pytest.raises(UserError, match="at least 1"):
        simulation.write(tmp_path / "new", 0)
    with pytest.raises(UserError, match="cannot write to"):
        simulation.write(tmp_path / "mine.txt" / "new", 1)
    assert not (tmp_path / "new").exists()


def test_images_of_one_size_hold_their_cells():
    for size in (24, 40, 64, 96):
        for number in range(60):
            image, truth = simulation.cell(3, number, 2, size)
            assert image.shape == (2, size, size)
            reach = truth["radius"] * 1.11
            centre = np.array([truth["row"], truth["column"]])
            assert (centre - reach > -0.5).all()
            assert (centre + reach < size - 0.5).all()
            assert 0 < truth["area"] < size * size
    # A cell that fits is as large as without a size.
    assert simulation.cell(3, 7, 1, 96)[1]["radius"] == simulation.cell(3, 7, 1)[1]["radius"]


@pytest.mark.parametrize(
    ("compression", "tag"), [("none", 1), ("zlib", 8), ("zstd", 50000), ("lzw", 5)]
)
def test_compression_changes_no_pixel(tmp_path, compression, tag):
    simulation.write(tmp_path, 3, channels=2, compression=compression)
    for number, path in enumerate(sorted(tmp_path.glob("images/*/*.tiff"), key=lambda p: p.name)):
        with tifffile.TiffFile(path) as tif:
            assert {page.compression for page in tif.pages} == {tag}
            np.testing.assert_array_equal(tif.asarray(), simulation.cell(0, number, 2)[0])


@pytest.mark.parametrize("distinct", [None, 5, 100])
@pytest.mark.parametrize("groups", [1, 2, 11])
def test_a_shard_holds_the_same_images_as_the_files(tmp_path, distinct, groups):
    for kind in simulation.FORMATS:
        simulation.write(
            tmp_path / kind, 23, 2, seed=4, groups=groups, size=32, format=kind, distinct=distinct
        )
    truths = [(tmp_path / k / "truth.csv").read_text() for k in simulation.FORMATS]
    assert truths[0] == truths[1]
    files = multiframe_tiff.discover([str(tmp_path / "tiff" / "images")])
    shard = packed.discover([str(tmp_path / "packed" / "images")])
    assert shard.names == files.names
    assert shard.groups == files.groups
    assert shard.group.tolist() == files.group.tolist()
    assert shard.channel_names == ["BF1", "CD15"]
    batches = [
        loader.read(catalog.references(0, 23), None, np.dtype("u2"))[0]
        for loader, catalog in ((multiframe_tiff, files), (packed, shard))
    ]
    np.testing.assert_array_equal(batches[0].pixels, batches[1].pixels)
    taken = {image.tobytes() for image in batches[0]}
    assert len(taken) == min(distinct or 23, 23)
    config = yaml.safe_load((tmp_path / "packed" / "scip.yml").read_text())
    assert config["load"]["format"] == "packed"


def test_pixels_that_repeat_take_no_space_in_a_shard(tmp_path):
    sizes = []
    for n in (4, 4000):
        simulation.write(tmp_path / str(n), n, 2, format="packed", distinct=4)
        sizes.append((tmp_path / str(n) / "images" / "cells.h5").stat().st_size)
    assert sizes[1] - sizes[0] < 100 * 4000


def test_settings_that_make_no_sense(tmp_path):
    with pytest.raises(UserError, match="the size must be 24 to 1024 pixels, not 10"):
        simulation.write(tmp_path / "new", 1, size=10)
    with pytest.raises(UserError, match="distinct cells"):
        simulation.write(tmp_path / "new", 1, distinct=0)
    with pytest.raises(UserError, match="not compressed"):
        simulation.write(tmp_path / "new", 1, format="packed", compression="zlib")
    assert not (tmp_path / "new").exists()
