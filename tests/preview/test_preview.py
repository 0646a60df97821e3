"""The preview: which images it takes, what it draws of them, and what it says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from cells import copy_cells, jurkat_files, write_config
from click.testing import CliRunner

from scip_mpi import libraries
from scip_mpi.cli import cli
from scip_mpi.config import parse_config
from scip_mpi.errors import UserError
from scip_mpi.parallel.roles import Sight
from scip_mpi.plan import find_images, make_plan
from scip_mpi.preview import write
from scip_mpi.preview.shots import Shot, middles, sampled, take
from scip_mpi.preview.write import preview
from scip_mpi.report.outlines import smaller
from scip_mpi.stages import build_stages, tiles_of
from scip_mpi.timers import Timers

FIELD = """\
load: {format: multiframe_tiff, channel_names: [DNA, GFP]}
segment:
  method: threshold
  settings: {parent_channel_index: DNA, threshold: 50}
"""
BRIGHT = """\
mask:
  main_channel_index: GFP
  methods:
    - {method: threshold, name: bright, kwargs: {method: fixed, value: 100}}
feature_extraction: {bright: [shape]}
"""
SHAPE = "feature_extraction: [shape]\n"
# Objects: first row and column, height and width. The last has nothing bright in GFP.
BOXES = [(10, 20, 12, 9), (40, 60, 20, 31), (0, 90, 7, 7)]
SIZE = 80, 130


def write_field(path: Path) -> np.ndarray:
    image = np.random.default_rng(3).integers(0, 9, (2, *SIZE), np.uint16)
    for r, c, h, w in BOXES:
        image[0, r : r + h, c : c + w] += 60
    for r, c, h, w in BOXES[:2]:
        image[1, r + 2 : r + h - 2, c + 2 : c + w - 2] += 150
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, image, photometric="minisblack")
    return image


def shot_of(folder: Path, config: str, most: int) -> Shot | str:
    found = parse_config(config, "scip.yml")
    catalog = find_images(found, [str(folder)])
    plan = make_plan(found, catalog, [Sight("here")])
    tiles = tiles_of(plan, folder / "tiles")
    return take(build_stages(plan), catalog.references(0, 1), tiles, most, Timers())


def test_the_sample_has_an_image_of_each_stretch_and_is_always_the_same() -> None:
    found = sampled(1_000_000_007, 20)
    assert (found * 20 // 1_000_000_007).tolist() == list(range(20))
    assert np.array_equal(found, sampled(1_000_000_007, 20))
    assert len(np.unique(np.diff(found))) > 10
    assert sampled(3, 20).tolist() == [0, 1, 2]


@pytest.mark.parametrize("factor", [1, 3])
def test_a_field_is_drawn_small_with_its_masks_and_objects(tmp_path: Path, factor: int) -> None:
    image = write_field(tmp_path / "images" / "a.tif")
    shot = shot_of(tmp_path / "images", FIELD + BRIGHT, image.size // factor**2 + 1)
    assert isinstance(shot, Shot)
    assert (shot.objects, shot.factor) == (3, factor)
    assert shot.dropped.tolist() == [1]
    assert shot.bare.tolist() == [[3, 1]]
    assert (shot.touching.tolist(), shot.masked.tolist()) == ([0], [2])
    masks, objects = np.zeros((2, *image.shape), np.int32)
    # Objects are numbered by their first pixel, row by row.
    for number, (r, c, h, w) in zip((2, 3, 1), BOXES, strict=True):
        objects[:, r : r + h, c : c + w] = number
        if number > 1:
            masks[1, r + 2 : r + h - 2, c + 2 : c + w - 2] = number
    rows, columns = (np.minimum(np.arange(0, n, factor) + factor // 2, n - 1) for n in SIZE)
    wanted = np.stack([masks, objects])[:, :, rows][..., columns]
    assert np.array_equal(shot.picture.masks, wanted)
    assert shot.picture.kept.tolist() == [True, True]
    assert np.allclose(shot.picture.pixels[1], smaller(image[1], factor))


def test_squares_are_shown_by_their_middles() -> None:
    assert middles(10, 4).tolist() == [2, 6, 9]
    assert middles(3, 1).tolist() == [0, 1, 2]


def test_of_a_field_in_tiles_the_tile_in_its_middle_is_shown(tmp_path: Path) -> None:
    image = write_field(tmp_path / "images" / "a.tif")
    tiled = (FIELD + SHAPE).replace("threshold\n", "threshold\n  tiles: {size: 64, halo: 16}\n", 1)
    shot = shot_of(tmp_path / "images", tiled, image.size)
    assert isinstance(shot, Shot)
    # 80 x 130 pixels are 2 x 3 tiles; the middle one begins at (40, 43).
    assert "tile in its middle" in shot.part
    assert np.array_equal(shot.picture.pixels, image[:, 40:80, 43:86])
    assert shot.objects == 1
    assert (shot.picture.masks[0, 0] > 0).sum() == 20 * (86 - 60)


def test_an_image_that_cannot_be_read_is_said_why(tmp_path: Path) -> None:
    write_field(tmp_path / "images" / "b.tif")
    (tmp_path / "images" / "a.tif").write_bytes(b"II*\0 this is no TIFF")
    found = shot_of(tmp_path / "images", FIELD + SHAPE, 1000)
    assert isinstance(found, str)
    assert found


def test_a_sample_that_cannot_be_read_at_all_is_a_page_that_says_so(tmp_path: Path) -> None:
    write_field(tmp_path / "images" / "a.tif")
    (tmp_path / "images" / "b.tif").write_bytes(b"II*\0 this is no TIFF")
    config = tmp_path / "scip.yml"
    config.write_text(FIELD + SHAPE)
    lines = preview(config, [str(tmp_path / "images")], 1, tmp_path / "page.html", quiet=True)
    assert lines[0] == "images      1 of 2, 1 failed"
    assert "b.tif: " in lines[2]
    assert "There is no image to be shown" in (tmp_path / "page.html").read_text()


@pytest.fixture(scope="module")
def cells(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_cells(jurkat_files(shared_dir, 21), tmp_path_factory.mktemp("cells"))
    (folder / "G1" / "broken <b>.tiff").write_bytes(b"II*\0 this is no TIFF")
    return folder


def test_cells_are_shown_with_what_the_filter_would_do(cells: Path, tmp_path: Path) -> None:
    rules = """\
filter:
  all:
    - {name: range, statistic: mean, channel: PI, lower: 150}
    - {name: mad, statistic: area, channel: BF, n_mads: 2}
"""
    config, page = write_config(tmp_path / "scip.yml", rules), tmp_path / "page.html"
    before = sorted(cells.rglob("*"))
    lines = preview(config, [str(cells)], 200, page, quiet=True)
    assert lines[0] == "images      22 of 22, 1 failed"
    assert lines[-1] == f"preview     {page}"
    text = page.read_text()
    assert text.count("<figure>") == 21
    # Where li finds nothing in the main channel there is no outline, and it is said.
    dropped = text.count(": dropped by li")
    assert 0 < dropped < 10
    assert len(re.findall(r'class="outline o0" d="M', text)) == 21 - dropped
    assert f"has dropped {dropped / 21:.0%} of the cells" in text
    assert "G1/broken &lt;b&gt;.tiff: " in text
    assert "<b>.tiff" not in text
    assert "range of mean_PI" in text
    means = [tifffile.imread(p)[1].mean() for p in cells.rglob("*.tiff") if "broken" not in p.name]
    assert len(means) == 21
    kept = re.search(r"Keeps (\d+) of these 21 cells", text)
    assert int(kept[1]) == sum(mean >= 150 for mean in means)
    assert "depend on all cells of a run" in text
    assert text.count('class="bound"') == 1
    assert "columns     " in text
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", text)
    assert sorted(cells.rglob("*")) == before
    # It is made again, the same but for the time.
    preview(config, [str(cells)], 200, page, quiet=True)
    assert re.sub("written [-0-9: ]+", "", page.read_text()) == re.sub(
        "written [-0-9: ]+", "", text
    )


def test_pictures_beyond_what_a_page_takes_are_left_out(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, page = write_config(tmp_path / "scip.yml", ""), tmp_path / "page.html"
    monkeypatch.setattr(write, "BYTES", 30_000)
    preview(config, [str(cells)], 7, page, quiet=True)
    found = re.search(r"(\d+) images are left out", page.read_text())
    assert found
    assert 0 < page.read_text().count("<figure>") < 7


def test_what_is_no_preview_is_not_replaced(tmp_path: Path) -> None:
    page = tmp_path / "mine.html"
    page.write_text("mine")
    with pytest.raises(UserError, match="is no preview"):
        preview(tmp_path / "scip.yml", [], 3, page)
    assert page.read_text() == "mine"
    with pytest.raises(UserError, match="is a folder"):
        preview(tmp_path / "scip.yml", [], 3, tmp_path)
    with pytest.raises(UserError, match="no folder"):
        preview(tmp_path / "scip.yml", [], 3, tmp_path / "none" / "page.html")


def test_without_the_library_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "find_spec", lambda name: None)
    done = CliRunner().invoke(cli, ["preview", str(tmp_path / "scip.yml")])
    assert isinstance(done.exception, UserError)
    assert "pip install 'scip_mpi[report]'" in str(done.exception)
