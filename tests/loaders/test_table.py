"""Tables of images: CSV and Parquet, CellProfiler's headers, and every way to get them wrong."""

from __future__ import annotations

import os
import re
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import tifffile
from cells import write_config
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import discover, groups, read, texts, write_tiff

from scip_mpi.errors import UserError
from scip_mpi.job import Request
from scip_mpi.loaders import table
from scip_mpi.parallel.world import Alone
from scip_mpi.run import run


def csv(folder: Path, text: str, name: str = "t.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def plane(path: Path, value: int) -> Path:
    return write_tiff(path, np.full((4, 5), value, np.uint8))


def values(*args: object, **kwargs: object) -> list[list[int]]:
    """The first pixel of each channel of each image that a table lists; none may fail."""
    batch, failures = read(table, discover(table, *args, **kwargs))
    assert not failures
    return [picture[:, 0, 0].tolist() for picture in batch]


def test_paths_in_the_order_of_the_rows(tmp_path):
    for k, name in enumerate(["a.tif", "x/b.tif", "x/y/c.tif"]):
        plane(tmp_path / name, k)
    path = csv(tmp_path, "path,dose\nx/y/c.tif,0.5\na.tif,1\nx/b.tif,\n")
    catalog = discover(table, path)
    assert catalog.names == ["x/y/c.tif", "a.tif", "x/b.tif"]
    assert groups(catalog) == ["y", tmp_path.name, "x"]
    np.testing.assert_array_equal(catalog.numbers["dose"], [0.5, 1, np.nan])
    assert values(path) == [[2], [0], [1]]
    sizes = {f: s for f, s in zip(catalog.files, catalog.sizes.tolist(), strict=True)}
    assert sizes == {f: os.path.getsize(f) for f in catalog.files}


def test_where_relative_paths_start(tmp_path, monkeypatch):
    plane(tmp_path / "data" / "a.tif", 7)
    near = csv(tmp_path / "data", "path\na.tif\n")
    far = csv(tmp_path / "lists", "path\na.tif\n")
    absolute = csv(tmp_path / "lists", f"path\n{tmp_path}/data/a.tif\n", "abs.csv")
    assert values(near) == [[7]]
    assert values(far, root=str(tmp_path / "data")) == [[7]]
    assert values(absolute) == values(absolute, root="/nowhere") == [[7]]
    monkeypatch.chdir(tmp_path / "data")
    assert values("t.csv") == [[7]]
    # A file that is not there is its image's failure.
    batch, failures = read(table, discover(table, far))
    assert len(batch) == 0
    assert failures[0].error == f"{tmp_path}/lists/a.tif: No such file or directory"


def test_a_path_per_channel(tmp_path):
    for k in range(4):
        plane(tmp_path / f"{k}.tif", k)
    path = csv(tmp_path, "id,path_DNA,path_ER\nfirst,3.tif,0.tif\nsecond,1.tif,2.tif\n")
    catalog = discover(table, path)
    assert catalog.channel_names == ["DNA", "ER"]
    assert catalog.names == ["first", "second"]
    assert values(path) == [[3, 0], [1, 2]]
    # A channel without a file fails, unless it is not asked for.
    path = csv(tmp_path, "id,path_DNA,path_ER\nfirst,,0.tif\nsecond,1.tif,2.tif\n")
    catalog = discover(table, path)
    batch, failures = read(table, catalog)
    assert batch.index.tolist() == [1]
    assert "there is no file for its channel at place 0" in failures[0].error
    batch, failures = read(table, catalog, channels=[1])
    assert not failures


def test_one_column_of_a_channel_takes_one_plane(tmp_path):
    plane(tmp_path / "a.tif", 1)
    write_tiff(tmp_path / "b.tif", np.zeros((3, 4, 5), np.uint8))
    catalog = discover(table, csv(tmp_path, "path_DNA\na.tif\nb.tif\n"))
    batch, failures = read(table, catalog)
    assert batch.index.tolist() == [0]
    assert "b.tif: has 3 planes; the file of one channel must have one" in failures[0].error


def test_cellprofilers_headers(shared_dir, tmp_path):
    root = shared_dir / "data" / "cp_sbs_plate"
    rows = "".join(
        f"Channel1-0{i}-A-0{i}.tif,{root},Channel2-0{i}-A-0{i}.tif,{root},A{i},1049,{i / 2}\n"
        for i in (2, 1, 3)
    )
    header = (
        "FileName_GFP,PathName_GFP,FileName_DNA,PathName_DNA,Metadata_Well,Metadata_Plate,Dose\n"
    )
    catalog = discover(table, csv(tmp_path, header + rows))
    assert catalog.channel_names == ["GFP", "DNA"]
    assert texts(catalog, "Well") == ["A2", "A1", "A3"]
    assert catalog.numbers["Plate"].tolist() == [1049] * 3
    assert catalog.numbers["Dose"].tolist() == [1, 0.5, 1.5]
    assert set(catalog.metadata) | set(catalog.numbers) == {"Well", "Plate", "Dose"}
    batch, failures = read(table, catalog)
    assert not failures
    for image, i in zip(batch, (2, 1, 3), strict=True):
        expected = [tifffile.imread(root / f"Channel{c}-0{i}-A-0{i}.tif") for c in (1, 2)]
        np.testing.assert_array_equal(image, np.stack(expected))


def test_file_names_without_folders_and_both_kinds_of_header(tmp_path):
    for k in range(2):
        plane(tmp_path / f"{k}.tif", k)
    assert values(csv(tmp_path, "FileName_A,FileName_B\n1.tif,0.tif\n")) == [[1, 0]]
    assert values(csv(tmp_path, "FileName_A,path_B\n1.tif,0.tif\n")) == [[0, 1]]


def test_pages(tmp_path):
    stack = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 5), np.uint8)
    write_tiff(tmp_path / "s.tif", stack)
    path = csv(tmp_path, "path,page\ns.tif,2\ns.tif,0\ns.tif,7\n")
    catalog = discover(table, path)
    assert catalog.image_names(range(3)) == ["s.tif#2", "s.tif#0", "s.tif#7"]
    batch, failures = read(table, catalog)
    assert [p[:, 0, 0].tolist() for p in batch] == [[2], [0]]
    assert failures[0].error == f"{tmp_path}/s.tif: has 3 pages, so none with index 7"
    assert table.probe((str(tmp_path / "s.tif"),), 2).shape == (1, 4, 5)
    with pytest.raises(UserError, match=r"s\.tif: has 3 pages, so none with index 3"):
        table.probe((str(tmp_path / "s.tif"),), 3)
    # Channels in files of their own, with the same page of each.
    write_tiff(tmp_path / "t.tif", stack[::-1].copy())
    assert values(csv(tmp_path, "path_A,path_B,page\ns.tif,t.tif,2\n")) == [[2, 0]]


def test_a_picture_has_page_0_only(tmp_path):
    from PIL import Image

    Image.fromarray(np.full((4, 5), 9, np.uint8)).save(tmp_path / "p.png")
    _, failures = read(table, discover(table, csv(tmp_path, "path,page\np.png,1\n")))
    assert failures[0].error == f"{tmp_path}/p.png: is a single picture, so it has no page 1"
    assert values(csv(tmp_path, "path,page\np.png,0\n")) == [[9]]


@pytest.mark.parametrize("page", ["", "-1", "1.5", "two", "01", "²", "99999999999999999999", "1e3"])
def test_bad_pages(tmp_path, page):
    path = csv(tmp_path, f"path,page\na.tif,0\nb.tif,{page}\n")
    with pytest.raises(UserError, match=r"t\.csv, row 2: page must be a number from 0, found"):
        discover(table, path)


def test_companions_and_groups(tmp_path):
    text = "path,group,companion_nuclei,companion_cells\na.tif,g,n.tif,c.tif\nx/b.tif,,,c2.tif\n"
    catalog = discover(table, csv(tmp_path, text))
    assert catalog.companions == ["nuclei", "cells"]
    assert groups(catalog) == ["g", "x"]
    references = catalog.references(0, 2)
    names = [tuple(os.path.basename(s) for s in row) for row in references.sources]
    assert names == [("a.tif", "n.tif", "c.tif"), ("b.tif", "", "c2.tif")]
    assert references.companions == 2
    assert references.alone().sources[1] == (f"{tmp_path}/x/b.tif",)
    assert not catalog.metadata


def test_parquet_is_the_same_table(tmp_path):
    frame = pd.DataFrame(
        {
            "path": ["b.tif", "a.tif"],
            "page": [0, 0],
            "dose": [0.25, None],
            "count": [3, 4],
            "well": pd.Categorical(["A01", None]),
            "ok": [True, False],
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    catalog = discover(table, tmp_path / "t.parquet")
    assert catalog.names == ["b.tif", "a.tif"]
    np.testing.assert_array_equal(catalog.numbers["dose"], [0.25, np.nan])
    assert catalog.numbers["count"].tolist() == [3, 4]
    assert catalog.numbers["count"].dtype == np.int64
    assert texts(catalog, "well") == ["A01", None]
    assert texts(catalog, "ok") == ["True", "False"]
    # An index with a name is a column, one without is none.
    frame.set_index("path").to_parquet(tmp_path / "t.parquet")
    assert discover(table, tmp_path / "t.parquet").names == ["b.tif", "a.tif"]
    frame[::-1].to_parquet(tmp_path / "t.parquet")
    assert discover(table, tmp_path / "t.parquet").names == ["a.tif", "b.tif"]


def test_row_numbers_that_programs_write_are_no_metadata(tmp_path):
    pd.DataFrame({"path": ["a.tif"], "dose": [1]}).to_csv(tmp_path / "t.csv")
    catalog = discover(table, tmp_path / "t.csv")
    assert set(catalog.numbers) == {"dose"}
    assert not catalog.metadata


def test_quotes_blanks_and_other_alphabets(tmp_path):
    text = (
        '\ufeffpath, drug ,note\r\n"a, b.tif","Ünïcode, ""x""",\r\n\r\n'
        "細胞/µ.tif,  β-actin,NA\r\nc.tif,,nan\r\n"
    )
    catalog = discover(table, csv(tmp_path, text))
    assert catalog.names == ["a, b.tif", "細胞/µ.tif", "c.tif"]
    assert texts(catalog, "drug") == ['Ünïcode, "x"', "β-actin", None]
    assert texts(catalog, "note") == [None, "NA", "nan"]
    assert groups(catalog)[1] == "細胞"


def column(tmp_path: Path, *cells: str) -> object:
    rows = "".join(f"{i}.tif,{c}\n" for i, c in enumerate(cells))
    catalog = discover(table, csv(tmp_path, "path,x\n" + rows))
    if "x" in catalog.numbers:
        return catalog.numbers["x"].tolist()
    return texts(catalog, "x")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "-2", "0"], [1, -2, 0]),
        (["0.5", ".5", "-0.5", "1e-3", "2."], [0.5, 0.5, -0.5, 1e-3, 2.0]),
        (["01", "02"], ["01", "02"]),
        (["007", "7"], ["007", "7"]),
        (["1_000", "2"], ["1_000", "2"]),
        (["inf", "1"], ["inf", "1"]),
        (["A1", "2"], ["A1", "2"]),
        (["٣", "4"], ["٣", "4"]),
        (["9223372036854775807", "1"], [9223372036854775807, 1]),
        # More digits than a float keeps: a barcode stays as it is.
        (["9223372036854775808", "1"], ["9223372036854775808", "1"]),
        (["12345678901234567", ""], ["12345678901234567", None]),
    ],
)
def test_what_is_a_number(tmp_path, cells, expected):
    got = column(tmp_path, *cells)
    assert got == expected
    assert [type(v) for v in got] == [type(v) for v in expected]


def test_numbers_that_are_missing(tmp_path):
    np.testing.assert_array_equal(column(tmp_path, "1", "", "NaN"), [1, np.nan, np.nan])
    assert column(tmp_path, "", "") == [None, None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as a table: No columns to parse"),
        ("path\n", "lists no images"),
        ("path,id\n,\n", "row 1: the image has no file"),
        ("path,id\na.tif,1\n,2\n", "row 2: the image has no file"),
        ("path_A,path_B,id\na,b,1\n,,2\n", "row 2: the image has no file"),
        ("path,companion_m\n,m.tif\n", "row 1: the image has no file"),
        ("path,id\na.tif,1\nb.tif,\n", "row 2: the image has no id"),
        ("file,well\na,b\n", "names no files: it needs a column path, or path_<CHANNEL>"),
        ("path;well\na;b\n", "names no files"),
        ("path,path_A\na,b\n", "has both path and a column per channel"),
        ("path,path\na,b\n", "has two columns called 'path': rename one"),
        ("path,x, x\na,b,c\n", "has two columns called 'x': rename one"),
        ("path,Well,Metadata_Well\na,b,c\n", "has columns Well and Metadata_Well: rename one"),
        ("path,object\na,b\n", "a column cannot be called 'object'"),
        ("path,Metadata_failed\na,b\n", "a column cannot be called 'failed'"),
        ("path,filter_mean\na,1\n", "a column cannot be called 'filter_mean'"),
        ("path,dose/uM\na,b\n", "a column cannot be called 'dose/uM': use letters, digits and _"),
        ("path,Metadata_\na,b\n", "a column cannot be called ''"),
        ("path,x\na,1\nb,2,3\n", "cannot be read as a table: Error tokenizing data"),
        ("path,x\na,1,\nb,2,\n", "cannot be read as a table: Error tokenizing data"),
        ('path,x\n"a,1\n', "cannot be read as a table"),
        ("path\na.tif\na.tif\n", "the image 'a.tif' is listed twice: give each row an id"),
        ("path,id\na.tif,1\nb.tif,1\n", "the image '1' is listed twice"),
        ("path,page\na.tif,1\na.tif,1\n", "the image 'a.tif' is listed twice"),
    ],
)
def test_wrong_tables(tmp_path, text, message):
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        discover(table, csv(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(tmp_path)) + 300


def test_other_encodings_and_files_that_are_no_tables(tmp_path):
    (tmp_path / "l.csv").write_bytes("path,x\na.tif,µ\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"l\.csv is not in UTF-8: save it as CSV UTF-8"):
        discover(table, tmp_path / "l.csv")
    (tmp_path / "p.parquet").write_text("path\na.tif\n")
    with pytest.raises(UserError, match=r"p\.parquet cannot be read as a table: "):
        discover(table, tmp_path / "p.parquet")
    with pytest.raises(UserError, match=r"cannot read .*gone\.csv: No such file"):
        discover(table, tmp_path / "gone.csv")
    (tmp_path / "d").mkdir()
    with pytest.raises(UserError, match=r"holds no \*\.csv or \*\.parquet tables"):
        discover(table, tmp_path / "d")
    pd.DataFrame({"path": ["a\0b.tif"]}).to_parquet(tmp_path / "n.parquet")
    with pytest.raises(UserError, match=r"n\.parquet, row 1: a file's name holds a NUL"):
        discover(table, tmp_path / "n.parquet")


def test_several_tables(tmp_path):
    for k, name in enumerate(["p1/a.tif", "p2/b.tif"]):
        plane(tmp_path / name, k)
    one = csv(tmp_path / "p1", "path,dose\na.tif,1\n", "one.csv")
    two = csv(tmp_path / "p2", "path,dose\nb.tif,x\n", "two.csv")
    assert values(two, one) == [[1], [0]]
    # A column is of numbers only if it is in all tables.
    assert texts(discover(table, two, one), "dose") == ["x", "1"]
    assert values(tmp_path) == [[0], [1]]
    csv(tmp_path / "p2", "path,date\nb.tif,x\n", "two.csv")
    with pytest.raises(UserError, match=r"two\.csv has other columns than .*one\.csv: date, dose"):
        discover(table, one, two)
    csv(tmp_path / "p2", "path,dose\na.tif,x\n", "two.csv")
    with pytest.raises(UserError, match=r"'a\.tif' is listed twice: give each row an id"):
        discover(table, one, two)


def test_columns_in_another_order_are_the_same_columns(tmp_path):
    for k in range(4):
        plane(tmp_path / f"{k}.tif", k)
    csv(tmp_path, "path_A,path_B,x\n0.tif,1.tif,5\n", "1.csv")
    csv(tmp_path, "x,path_B,path_A\n6,3.tif,2.tif\n", "2.csv")
    assert values(tmp_path) == [[0, 1], [2, 3]]
    assert discover(table, tmp_path).numbers["x"].tolist() == [5, 6]


def test_metadata_reaches_obs_of_a_run(tmp_path):
    rng = np.random.default_rng(1)
    for name in "abc":
        write_tiff(tmp_path / "i" / f"{name}.tif", rng.integers(0, 99, (8, 9)).astype(np.uint8))
    csv(tmp_path, "path,drug,dose,n\ni/c.tif,β,1.5,3\ni/gone.tif,x,1,1\ni/a.tif,,,4\n")
    config = write_config(
        tmp_path / "c.yml", text="load: {format: table}\nfeature_extraction: [intensity]\n"
    )
    paths = [str(tmp_path / "t.csv")]
    assert run(Alone(), Request(config, paths, tmp_path / "out", quiet=True)) == 0
    obs = anndata.read_h5ad(tmp_path / "out" / "features.h5ad").obs
    assert obs["image"].tolist() == ["i/c.tif", "i/a.tif"]
    assert obs["drug"].astype(object).where(obs["drug"].notna(), None).tolist() == ["β", None]
    np.testing.assert_array_equal(obs["dose"], [1.5, np.nan])
    assert obs["n"].tolist() == [3, 4]
    assert obs["n"].dtype == np.int64
    assert obs["group"].tolist() == ["i", "i"]


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_text_survives_parquet(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("text")
    cells = data.draw(st.lists(CELLS, min_size=1, max_size=6))
    files = [f"{i}.tif" for i in range(len(cells))]
    pd.DataFrame({"path": files, "x": [*cells[:-1], cells[-1] + "!"]}).to_parquet(
        folder / "t.parquet"
    )
    catalog = discover(table, folder / "t.parquet")
    assert texts(catalog, "x") == [c or None for c in cells[:-1]] + [cells[-1] + "!"]
    _, failures = read(table, catalog)
    assert len(failures) == len(cells)


@settings(max_examples=120, deadline=None)
@given(st.data(), st.sampled_from(["csv", "parquet"]))
def test_damaged_tables_are_complaints_or_catalogs(tmp_path_factory, data, kind):
    folder = tmp_path_factory.mktemp("damage")
    frame = pd.DataFrame({"path": ["a.tif", "b.tif"], "page": [0, 1], "dose": [0.5, 1]})
    path = folder / f"t.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    hit = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(hit) - 1), min_size=1, max_size=5)):
        hit[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(hit[: data.draw(st.one_of(st.just(len(hit)), st.integers(0, len(hit))))])
    try:
        catalog = discover(table, path)
    except UserError:
        return
    read(table, catalog)
