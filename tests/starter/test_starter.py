"""A first config for images that nobody has described: what it says, and that `check` takes it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

from scip_mpi.check import check
from scip_mpi.config import read_config
from scip_mpi.errors import UserError
from scip_mpi.starter.look import look, separation
from scip_mpi.starter.names import guess_preset, guess_regex
from scip_mpi.starter.write import write_config

# Images under shared/data, their format, number and channels, and whether they are fields.
KNOWN = [
    ("jurkat_ifc/experiment1", "multiframe_tiff", 2050, "CH0, CH1, CH2", "CH1", False),
    ("jurkat_ifc/montage", "tiff", 1, "CH3, CH4, CH6", "CH4", True),
    # Masks, PNG, lie beside the images.
    ("wbc_stained/dataset1", "image", 181, "CH0, CH1, CH2", None, False),
    ("imc_pancreas", "multiframe_tiff", 2, "CH0, CH1, CH2, CH3, CH4", None, False),
    ("cp_example_fly", "tiff", 3, "D, F, R", "D", True),
    ("cp_sbs_plate", "tiff", 12, "CH1, CH2", "CH2", True),
    ("scip_tests/test.zarr", "zarr", 10, "CH0, CH1, CH2, CH3, CH4, CH5, CH6", None, False),
]


@pytest.mark.parametrize(("images", "format", "count", "channels", "main", "field"), KNOWN)
def test_real_images_get_a_config_that_check_accepts(
    images: str,
    format: str,
    count: int,
    channels: str,
    main: str | None,
    field: bool,
    shared_dir: Path,
    tmp_path: Path,
) -> None:
    paths, config = [str(shared_dir / "data" / images)], tmp_path / "scip.yml"
    told = "\n".join(write_config(paths, config))
    assert f"images      {count:,}, read as {format}" in told
    assert f"channels    {channels} (" in told
    found = read_config(config)
    assert (found.segment is not None) == field
    if main is not None and found.mask is not None:
        assert found.mask.main_channel_index == main
    elif main is not None:
        assert f"parent_channel_index: {main} " in config.read_text()
    lines = "\n".join(check(config, paths, 1))
    assert f"images      {count:,} in" in lines
    assert f"channels    {channels}\n" in lines
    assert "unreadable" not in lines
    with pytest.raises(UserError, match="is there already"):
        write_config(paths, config)


def test_strange_channels_and_sizes_are_written_so_that_yaml_takes_them(tmp_path: Path) -> None:
    folder = tmp_path / "plate"
    for well in ("B02", "B03"):
        for channel in ("no", "DAPI"):
            (folder / well).mkdir(parents=True, exist_ok=True)
            image = np.random.default_rng(0).integers(0, 9, (30, 40), np.uint8)
            tifffile.imwrite(folder / well / f"image_{channel}.tif", image)
    paths, config = [str(folder)], tmp_path / "scip.yml"
    told = write_config(paths, config, field=True)
    assert told[0].startswith("images      2, read as tiff")
    assert '[DAPI, "no"]' in config.read_text()
    assert "fields of view" in told[2]
    assert any("channels    DAPI, no" in line for line in check(config, paths, 1))


@pytest.mark.parametrize(
    ("names", "channel", "ids"),
    [
        # A word in front says it, even where a well's column would do as well.
        ([f"a{w:02d}_ch{c}_x.tif" for w in (1, 2) for c in (1, 2)], {"1", "2"}, 2),
        ([f"{w}-{c}.tif" for w in ("01", "02", "03") for c in ("DAPI", "GFP")], {"DAPI", "GFP"}, 3),
        # The same names in several folders.
        ([f"p{p}/s_w{c}.TIF" for p in (1, 2) for c in (1, 2, 3)], {"1", "2", "3"}, 2),
        ([f"{c}_cell{i}.tiff" for c in ("BF", "PI") for i in range(3)], {"BF", "PI"}, 3),
    ],
)
def test_channels_are_told_from_names(names: list[str], channel: set[str], ids: int) -> None:
    regex = guess_regex(names)
    assert regex is not None
    found = [re.search(regex, f"/data/{name}") for name in names]
    assert all(found)
    groups = [m.groupdict() for m in found if m]
    assert {g["channel"] for g in groups} == channel
    assert len({(g["id"], g.get("id2")) for g in groups}) == ids


@pytest.mark.parametrize(
    "names",
    [
        ["cell_1.tif", "cell_2.tif", "cell_3.tif"],
        ["a.tif", "b-c.tif", "d e f.tif"],
        # Channel 2 is missing of one.
        ["x1_ch1.tif", "x1_ch2.tif", "x2_ch1.tif", "x3_ch1.tif", "x3_ch2.tif"],
        [],
    ],
)
def test_other_names_say_nothing(names: list[str]) -> None:
    assert guess_regex(names) is None


def test_instruments_are_known_by_their_names() -> None:
    assert guess_preset(["d_1_Ch1.ome.tif", "d_1_Ch2.ome.tif"]) == "ideas"
    assert guess_preset(["r01c01f01p01-ch1sk1fk1fl1.tiff", "r01c01f01p01-ch2sk1fk1fl1.tiff"]) == (
        "phenix"
    )
    assert guess_preset(["d_1_Ch1.ome.tif", "d_2_Ch1.ome.tif"]) is None


def test_the_channel_of_most_contrast_is_found() -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:200, :200]
    discs = ((rows % 50 - 25) ** 2 + (columns % 50 - 25) ** 2 < 100).astype(float)
    noise = rng.normal(0, 1, (2, 200, 200))
    bright = np.stack([noise[0], 10 * discs + noise[1]])
    seen = look([bright])
    assert (seen.main, seen.objects, seen.field, seen.dark) == (1, 16, True, False)
    assert look([-bright]).dark
    assert not look([bright[:, :50, :50]]).field
    assert look([bright[:, :50, :50]], field=True).field
    share, threshold = separation(10 * discs)
    assert share == pytest.approx(1, abs=1e-3)
    assert 0 < threshold < 10
    assert separation(np.full((4, 4), 3)) == (0, 3)
    assert separation(np.full((4, 4), np.nan)) == (0, 0)


def test_folders_may_be_called_anything(tmp_path: Path) -> None:
    folder = tmp_path / "my \n images \udcff: \x85x"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for k in range(3):
        cell = rng.integers(0, 4096, (2, 30, 30), np.uint16)
        tifffile.imwrite(folder / f"{k}.tif", cell, photometric="minisblack")
    config = tmp_path / "scip.yml"
    told = write_config([str(folder)], config)
    read_config(config)
    assert "my ? images ?: ?x'" in told[-1]
