"""One TIFF per channel: the pattern's images, their pixels as tifffile's, what is missing named."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import anndata
import numpy as np
import pytest
import tifffile
from cells import write_config
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pictures import discover, groups, read, texts, touch, write_tiff

from scip_mpi.errors import UserError
from scip_mpi.job import Request
from scip_mpi.loaders import tiff
from scip_mpi.loaders.contract import References
from scip_mpi.parallel.world import Alone
from scip_mpi.run import run

PAIR = r"(?P<id>[a-z0-9]+)_(?P<channel>\d+)\.tif$"


def pairs(folder: Path, ids: str = "abc", channels: int = 2) -> Path:
    """Images a, b and c of so many channels, no two planes alike."""
    for i, name in enumerate(ids):
        for c in range(channels):
            write_tiff(folder / f"{name}_{c}.tif", np.full((4, 5), 10 * i + c, np.uint8))
    return folder


def test_scips_own_fields(shared_dir):
    # SCIP's tests say: two images of two channels; here as they lie in the file, not transposed.
    root = shared_dir / "data" / "scip_tests" / "tiffs"
    catalog = discover(tiff, root, regex=r"(?P<id>.*)_(?P<channel>[0-9]+)\.tiff$")
    assert len(catalog) == 2
    assert catalog.channels == [1, 2]
    batch, failures = read(tiff, catalog, np.float32)
    assert not failures
    for i in (1, 2):
        expected = [tifffile.imread(root / f"test{i}_{c}.tiff") for c in (1, 2)]
        np.testing.assert_array_equal(batch.image(i - 1), np.stack(expected))
        assert not np.array_equal(batch.image(i - 1)[0], batch.image(i - 1)[0].T)


def test_a_plate(shared_dir):
    root = shared_dir / "data" / "cp_sbs_plate"
    pattern = r"Channel(?P<channel>\d)-(?P<id>\d+-(?P<row>[A-H])-(?P<column>\d+))\.tif$"
    catalog = discover(tiff, root, regex=pattern)
    assert catalog.names == [f"{i:02d}-A-{i:02d}" for i in range(1, 13)]
    assert texts(catalog, "row") == ["A"] * 12
    assert texts(catalog, "column") == [f"{i:02d}" for i in range(1, 13)]
    assert catalog.channels == [1, 2]
    info = tiff.probe(catalog.references(0, 1).sources[0], int(catalog.within[0]))
    assert info.shape == (2, 640, 640)
    batch, failures = read(tiff, catalog, info.dtype, channels=[1, 0])
    assert not failures
    for i, name in enumerate(catalog.names):
        expected = [tifffile.imread(root / f"Channel{c}-{name}.tif") for c in (2, 1)]
        np.testing.assert_array_equal(batch.image(i), np.stack(expected))


def test_channels_that_are_words(shared_dir):
    root = shared_dir / "data" / "cp_example_fly" / "images"
    catalog = discover(tiff, root, regex=r"(?P<id>01_POS\d+)_(?P<channel>[DFR])\.TIF$")
    assert catalog.channel_names == ["D", "F", "R"]
    assert catalog.channels is None
    batch, failures = read(tiff, catalog)
    assert not failures
    for i, name in enumerate(["01_POS002", "01_POS076", "01_POS218"]):
        expected = np.stack([tifffile.imread(root / f"{name}_{c}.TIF") for c in "DFR"])
        np.testing.assert_array_equal(batch.image(i), expected)


def test_padded_numbers_are_the_numbers_asked_for(tmp_path):
    names = [f"a_ch{c}.tif" for c in ("00", "02", "10", "9", "1")]
    catalog = discover(tiff, touch(tmp_path, names), regex=r"(?P<id>a)_ch(?P<channel>\d+)")
    assert catalog.channels == [0, 1, 2, 9, 10]
    files = [Path(f).name for f in catalog.references(0, 1).sources[0]]
    assert files == ["a_ch00.tif", "a_ch1.tif", "a_ch02.tif", "a_ch9.tif", "a_ch10.tif"]


def test_01_and_1_are_one_channel(tmp_path):
    touch(tmp_path, ["a_1.tif", "a_01.tif"])
    with pytest.raises(UserError, match=r"a_01\.tif and .*a_1\.tif are the same channel of one"):
        discover(tiff, tmp_path, regex=PAIR)


def test_numbers_and_words_mixed_are_words(tmp_path):
    touch(tmp_path, ["a_1.tif", "a_BF.tif", "a_10.tif"])
    catalog = discover(tiff, tmp_path, regex=r"(?P<id>a)_(?P<channel>\w+)\.tif")
    assert catalog.channels is None
    assert catalog.channel_names == ["1", "10", "BF"]


def test_a_missing_file_fails_its_image_alone(tmp_path):
    pairs(tmp_path)
    (tmp_path / "b_1.tif").unlink()
    catalog = discover(tiff, tmp_path, regex=PAIR)
    assert len(catalog) == 3
    assert catalog.notes == ["1 of 3 images lack the file of a channel"]
    batch, failures = read(tiff, catalog)
    assert batch.index.tolist() == [0, 2]
    assert failures[0].index == 1
    assert failures[0].error == (
        f"{tmp_path}/b_0.tif: there is no file for its channel at place 1, counted from 0"
    )
    # The channel that is not asked for is not missed.
    batch, failures = read(tiff, catalog, channels=[0])
    assert not failures
    np.testing.assert_array_equal(batch.image(1), np.full((1, 4, 5), 10))


def test_the_first_image_may_be_incomplete(tmp_path):
    pairs(tmp_path)
    (tmp_path / "a_0.tif").unlink()
    catalog = discover(tiff, tmp_path, regex=PAIR)
    assert catalog.names == ["a", "b", "c"]
    info = tiff.probe(catalog.references(0, 1).sources[0], int(catalog.within[0]))
    assert info.shape == (2, 4, 5)
    batch, failures = read(tiff, catalog, of=2)
    assert [f.index for f in failures] == [0]
    assert len(batch) == 2


def test_the_broken_file_is_named(tmp_path):
    pairs(tmp_path)
    (tmp_path / "b_1.tif").write_bytes(b"")
    (tmp_path / "c_1.tif").write_text("no image")
    catalog = discover(tiff, tmp_path, regex=PAIR)
    batch, failures = read(tiff, catalog)
    assert batch.index.tolist() == [0]
    assert failures[0].error == f"{tmp_path}/b_1.tif: is empty (0 bytes)"
    assert failures[1].error == f"{tmp_path}/c_1.tif: is no TIFF, PNG, JPEG or BMP file"
    with pytest.raises(UserError, match=r"b_1\.tif: is empty"):
        tiff.probe(catalog.references(1, 2).sources[0], int(catalog.within[1]))
    (tmp_path / "b_1.tif").unlink()
    _, failures = read(tiff, catalog)
    assert failures[0].error == f"{tmp_path}/b_1.tif: No such file or directory"


def test_channels_of_differing_size(tmp_path):
    pairs(tmp_path)
    write_tiff(tmp_path / "b_1.tif", np.zeros((5, 4), np.uint8))
    batch, failures = read(tiff, discover(tiff, tmp_path, regex=PAIR))
    assert batch.index.tolist() == [0, 2]
    assert failures[0].error == (
        f"{tmp_path}/b_1.tif: is 5 x 4 pixels, the image's other channels are 4 x 5"
    )


def test_channels_of_differing_type_become_one_that_holds_both(tmp_path):
    pairs(tmp_path, "a")
    wide = np.arange(20, dtype=np.uint16).reshape(4, 5) * 3000
    write_tiff(tmp_path / "a_1.tif", wide)
    catalog = discover(tiff, tmp_path, regex=PAIR)
    assert tiff.probe(catalog.references(0, 1).sources[0], -2).dtype == np.uint16
    batch, failures = read(tiff, catalog, np.uint16)
    assert not failures
    np.testing.assert_array_equal(batch.image(0), [np.zeros((4, 5)), wide])
    _, failures = read(tiff, catalog, np.uint8)
    assert "set load.dtype to uint16" in failures[0].error


@pytest.mark.parametrize("channels", [1, 2])
def test_a_file_of_several_planes_is_no_channel(tmp_path, channels):
    pairs(tmp_path, "ab", channels)
    write_tiff(tmp_path / "b_0.tif", np.zeros((3, 4, 5), np.uint8))
    batch, failures = read(tiff, discover(tiff, tmp_path, regex=PAIR))
    assert batch.index.tolist() == [0]
    assert failures[0].error == (
        f"{tmp_path}/b_0.tif: has 3 planes; the file of one channel must have one"
    )


@pytest.mark.parametrize(
    ("regex", "message"),
    [
        ("a", "has no group called id and none called channel: write (?P<id>...) round"),
        ("(?P<id>a)", "has no group called channel:"),
        ("(?P<channel>a)", "has no group called id:"),
        ("(?P<id>[ab])_(?P<channel>1)?", "the group channel matches nothing in"),
        (r"(?P<id>[ab])_(?P<channel>\d*)", "the group channel matches nothing in"),
        ("(?P<id>a)?(?P<channel>_)", "the group id matches nothing in"),
        ("(?P<id>b|)(?P<channel>_)", "the group id matches nothing in"),
        ("(?P<id>_)(?P<channel>.)", "are the same channel of one image: make id"),
        ("(?P<id>.)_(?P<channel>.)(?P<object>.)", "a group cannot be called 'object'"),
        ("(?P<id>nowhere)(?P<channel>.)", "matches none of 3 files"),
        ("(", "is no regular expression"),
    ],
)
def test_wrong_patterns(tmp_path, regex, message):
    touch(tmp_path, ["a_1.tif", "a_2.tif", "b_.tif"])
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        discover(tiff, tmp_path, regex=regex)
    assert "\n" not in str(caught.value)


def test_a_channel_that_is_the_images_is_refused_before_it_fills_memory(tmp_path):
    touch(tmp_path, [f"{i}.tif" for i in range(1100)])
    with pytest.raises(UserError, match="1,100 files would be 1,100 images of 1,100 channels"):
        discover(tiff, tmp_path, regex=r"(?P<id>(?P<channel>\d+))\.tif")


@pytest.mark.parametrize("kwargs", [{}, {"regex": PAIR, "preset": "phenix"}])
def test_neither_or_both_of_regex_and_preset(tmp_path, kwargs):
    touch(tmp_path, ["a_1.tif"])
    with pytest.raises(UserError, match=r"either a regex with the groups id and channel, or a pre"):
        discover(tiff, tmp_path, **kwargs)


def test_a_preset_that_does_not_exist_is_told_by_the_config(tmp_path):
    config = write_config(
        tmp_path / "c.yml",
        text="load: {format: tiff, kwargs: {preset: phoenix}}\nfeature_extraction: [shape]\n",
    )
    with pytest.raises(UserError, match=r"(?s)load\.kwargs\.preset.*phenix"):
        run(Alone(), Request(config, [str(tmp_path)], tmp_path / "out", quiet=True))


def test_an_image_may_lie_in_several_folders(tmp_path):
    names = ["dapi/x1.tif", "gfp/x1.tif", "dapi/x2.tif", "gfp/x2.tif"]
    pattern = r"(?P<channel>dapi|gfp)/(?P<id>\w+)\.tif"
    catalog = discover(tiff, touch(tmp_path, names), regex=pattern)
    assert catalog.names == ["x1", "x2"]
    assert catalog.channel_names == ["dapi", "gfp"]
    # The group is that of the first file.
    assert groups(catalog) == ["dapi", "dapi"]


def test_the_rest_of_an_id_may_follow_the_channel(tmp_path):
    names = [f"w{w}_ch{c}{z}.tif" for w in "12" for c in "12" for z in ("", "_z1", "_z2")]
    pattern = r"(?P<id>w\d)_ch(?P<channel>\d)(?:_(?P<id2>z\d))?\.tif"
    catalog = discover(tiff, touch(tmp_path, names), regex=pattern)
    assert catalog.names == ["w1", "w1_z1", "w1_z2", "w2", "w2_z1", "w2_z2"]
    assert (catalog.sources >= 0).all()
    assert not catalog.metadata


def test_rows_stand_where_their_first_file_does_whatever_the_order_of_creation(tmp_path):
    names = ["2/a_1.tif", "2/b_0.tif", "1/b_1.tif", "1/c_0.tif", "0/c_1.tif", "3/a_0.tif"]
    catalogs = [
        discover(tiff, touch(tmp_path / str(k), order), regex=PAIR)
        for k, order in enumerate([names, names[::-1]])
    ]
    for catalog in catalogs:
        assert catalog.names == ["c", "b", "a"]
        assert groups(catalog) == ["0", "1", "2"]
    np.testing.assert_array_equal(catalogs[0].sources, catalogs[1].sources)
    # PATHs in another order: other rows.
    other = discover(tiff, *(tmp_path / "0" / d for d in "3210"), regex=PAIR)
    assert other.names == ["a", "b", "c"]
    assert [Path(f).name for f in other.references(0, 1).sources[0]] == ["a_0.tif", "a_1.tif"]


def test_named_groups_are_metadata_of_a_run(shared_dir, tmp_path):
    cells = tmp_path / "cells"
    cells.mkdir()
    for well in ("01", "02", "03"):
        for c in "12":
            name = f"Channel{c}-{well}-A-{well}.tif"
            shutil.copy(shared_dir / "data" / "cp_sbs_plate" / name, cells)
    (cells / "Channel2-02-A-02.tif").unlink()
    config = write_config(
        tmp_path / "c.yml",
        text=(
            "load:\n  format: tiff\n  channels: [2, 1]\n  channel_names: [DNA, GFP]\n  kwargs:\n"
            r"    regex: 'Channel(?P<channel>\d)-(?P<id>\d+-(?P<row>.)-(?P<column>\d+))\.tif$'"
            "\nfeature_extraction: [intensity]\n"
        ),
    )
    assert run(Alone(), Request(config, [str(cells)], tmp_path / "out", quiet=True)) == 0
    table = anndata.read_h5ad(tmp_path / "out" / "features.h5ad")
    assert table.obs["image"].tolist() == ["01-A-01", "03-A-03"]
    assert table.obs["row"].tolist() == ["A", "A"]
    assert table.obs["column"].tolist() == ["01", "03"]
    assert table.obs["group"].tolist() == ["cells", "cells"]
    for k, well in enumerate(("01", "03")):
        for name, c in (("DNA", 2), ("GFP", 1)):
            pixels = tifffile.imread(cells / f"Channel{c}-{well}-A-{well}.tif").astype(float)
            got = table.X[k, table.var_names.get_loc(f"feat_mean_{name}")]
            assert got == pytest.approx(pixels.mean(), rel=1e-6)
    told = (tmp_path / "out" / "failures.csv").read_text()
    assert "there is no file for its channel at place 1" in told


DTYPES = [np.uint8, np.uint16, np.int16, np.uint32, np.float32]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_odd_shapes_types_and_counts_of_channels(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("odd")
    dtype = np.dtype(data.draw(st.sampled_from(DTYPES)))
    channels = data.draw(st.integers(1, 4))
    shapes = data.draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=4))
    images = []
    for i, shape in enumerate([(1, 1), *shapes]):
        values = hnp.from_dtype(dtype, allow_nan=False, allow_infinity=False)
        images.append(data.draw(hnp.arrays(dtype, (channels, *shape), elements=values)))
        for c, plane in enumerate(images[-1]):
            write_tiff(folder / f"{i}_{c}.tif", plane)
    catalog = discover(tiff, folder, regex=PAIR)
    info = tiff.probe(catalog.references(0, 1).sources[0], int(catalog.within[0]))
    assert info.shape == (channels, 1, 1)
    assert info.dtype == dtype
    batch, failures = read(tiff, catalog, dtype)
    assert not failures
    for got, expected in zip(batch, images, strict=True):
        np.testing.assert_array_equal(got, expected)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_costs_its_image_only(tmp_path_factory, data):
    folder = pairs(tmp_path_factory.mktemp("damage"))
    victim = folder / "b_1.tif"
    hit = bytearray(victim.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(hit) - 1), max_size=8)):
        hit[place] ^= data.draw(st.integers(1, 255))
    victim.write_bytes(hit[: data.draw(st.integers(0, len(hit)))])
    batch, failures = read(tiff, discover(tiff, folder, regex=PAIR))
    assert {0, 2} <= set(batch.index.tolist())
    assert all(f.error.startswith(str(folder)) for f in failures)


def test_what_pictures_do_not_have(tmp_path):
    nothing = References([], np.zeros(0, "i8"), np.zeros(0, "i8"), np.zeros(0, "i4"))
    with pytest.raises(UserError, match="neither z nor t"):
        tiff.read(nothing, None, np.dtype(np.uint8), z=0)
