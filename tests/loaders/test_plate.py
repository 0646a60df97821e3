"""Plate maps: wells by any of their names, and doses in the results."""

from __future__ import annotations

import re
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from cells import write_config
from hypothesis import given
from hypothesis import strategies as st
from pictures import discover, texts, touch

from scip_mpi.errors import UserError
from scip_mpi.job import Request
from scip_mpi.loaders import image, table
from scip_mpi.loaders.contract import Catalog
from scip_mpi.loaders.plate import join_plate, same_well, well_name
from scip_mpi.parallel.world import Alone
from scip_mpi.run import run


@pytest.mark.parametrize("text", ["A1", "A01", "a01", "a1", "A-01", "A_1", "A 001", " a1 "])
def test_names_of_one_well(text):
    assert same_well(text) == "A01"


def test_names_of_other_wells():
    assert [same_well(t) for t in ("P24", "aa9", "H012", "AF48")] == ["P24", "AA09", "H12", "AF48"]
    assert same_well("control") == "control"
    assert [well_name(r, "3") for r in ("1", "02", "26", "27", "32", "h", " B ")] == [
        "A03",
        "B03",
        "Z03",
        "AA03",
        "AF03",
        "H03",
        "B03",
    ]


@given(st.integers(1, 32), st.integers(1, 48))
def test_rows_by_number_and_by_letters_are_one(row, column):
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    name = letters[row - 1] if row <= 26 else f"A{letters[row - 27]}"
    assert well_name(str(row), str(column)) == well_name(name.lower(), f"{column:03d}")
    assert well_name(name, str(column)) == same_well(f"{name}{column}")


def plates(folder: Path, pattern: str = r"(?P<well>\w\d+)\.", *names: str) -> Catalog:
    return discover(image, touch(folder / "i", list(names)), regex=pattern)


def mapped(catalog: Catalog, folder: Path, text: str) -> Catalog:
    (folder / "map.csv").write_text(text, encoding="utf-8")
    return join_plate(catalog, str(folder / "map.csv"))


def test_wells_meet_whatever_they_are_called(tmp_path):
    catalog = plates(tmp_path, r"(?P<well>\w\d+)\.", "A1.png", "a02.png", "B10.png", "C1.png")
    joined = mapped(catalog, tmp_path, "WELL,drug,dose\na-01,x,0.5\nA2,y,1\nb010,,2\nD01,z,3\n")
    assert texts(joined, "drug") == ["x", None, None, "y"]
    assert catalog.names == ["A1.png", "B10.png", "C1.png", "a02.png"]
    np.testing.assert_array_equal(joined.numbers["dose"], [0.5, 2, np.nan, 1])
    assert joined.notes == ["1 images are of wells that the plate map does not have"]
    assert texts(joined, "well") == ["A1", "B10", "C1", "a02"]
    assert len(joined) == 4


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (("A-1.png", "B-12.png"), r"/(?P<row>\w)-(?P<column>\d+)\."),
        (("01-01.png", "02-12.png"), r"/(?P<Row>\d+)-(?P<Column>\d+)\."),
        (("A01.png", "B12.png"), r"(?P<Well>\w\d+)\."),
    ],
)
@pytest.mark.parametrize(
    "text",
    [
        "row,column,x\nB,12,second\nA,1,first\n",
        "Row,Column,x\n2,12,second\n1,01,first\n",
        "Metadata_Well,x\nB12,second\nA01,first\n",
        "Metadata_row,METADATA_Column,Metadata_x\nb,12,second\na,1,first\n",
    ],
)
def test_rows_and_columns_by_letters_or_numbers(tmp_path, names, pattern, text):
    joined = mapped(plates(tmp_path, pattern, *names), tmp_path, text)
    assert texts(joined, "x") == ["first", "second"]
    assert not joined.notes


def test_plates_count_where_both_know_them(tmp_path):
    names = [f"p{p}_A0{w}.png" for p in "12" for w in "12"]
    text = "plate,well,x\n2,A1,2A1\n1,A1,1A1\n1,A2,1A2\n"
    both = plates(tmp_path, r"p(?P<plate>\d)_(?P<well>...)", *names)
    assert texts(mapped(both, tmp_path, text), "x") == ["1A1", "1A2", "2A1", None]
    # A map without plates is for all of them.
    one = mapped(both, tmp_path, "well,x\nA1,1\nA2,2\n")
    assert one.numbers["x"].tolist() == [1, 2, 1, 2]
    # Images without plates cannot choose.
    blind = plates(tmp_path, r"_(?P<well>...)", *names)
    with pytest.raises(UserError, match=r"has well A01 twice: nothing says an image's plate"):
        mapped(blind, tmp_path, text)


def test_a_map_joins_a_table_with_numbers_for_rows_and_plates(tmp_path):
    (tmp_path / "t.csv").write_text("path,plate,row,column\na,7,1,2\nb,8,1,2\nc,,,\nd,7,2,\n")
    catalog = discover(table, tmp_path / "t.csv")
    assert set(catalog.numbers) == {"plate", "row", "column"}
    joined = mapped(catalog, tmp_path, "plate,row,column,x\n8,A,2,u\n7,A,02,v\n")
    assert texts(joined, "x") == ["v", "u", None, None]


def test_wells_that_are_numbers(tmp_path):
    (tmp_path / "t.csv").write_text("path,well\na,1\nb,96\n")
    catalog = discover(table, tmp_path / "t.csv")
    assert texts(mapped(catalog, tmp_path, "well,x\n96,u\n1,v\n"), "x") == ["v", "u"]


def test_blank_wells_match_nothing(tmp_path):
    (tmp_path / "t.csv").write_text("path,well\na,A1\nb,\n")
    catalog = discover(table, tmp_path / "t.csv")
    joined = mapped(catalog, tmp_path, "well,x\nA1,u\n,blank\n,blank too\n")
    assert texts(joined, "x") == ["u", None]


def test_parquet_maps(tmp_path):
    catalog = plates(tmp_path, r"(?P<well>...)\.", "A01.png", "B02.png")
    frame = pd.DataFrame({"row": [2, 1], "column": [2, 1], "dose": [0.5, 0.25]})
    frame.to_parquet(tmp_path / "map.parquet")
    joined = join_plate(catalog, str(tmp_path / "map.parquet"))
    assert joined.numbers["dose"].tolist() == [0.25, 0.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,y\n1,2\n", "map.csv has no column well, or row and column"),
        ("row,y\n1,2\n", "map.csv has no column well, or row and column"),
        ("well,x\nA1,1\na01,2\n", "map.csv has well A01 twice"),
        ("well,x\nB1,1\n", "(the first is well A01) is in "),
        ("well,x\nB1,1\n", "whose first is well B01"),
        ("well,x\n,1\n", "whose first is well (none)"),
        ("well,x\n", "whose first is none"),
        ("plate,well,x\n2,A1,1\n", "(the first is well A01 of plate 1) is in"),
        ("plate,well,x\n1,A1,1\n1,A01,1\n", "has well A01 of plate 1 twice"),
        ("well,site\nA1,1\n", "have a column 'site' already: rename the one in"),
        ("well,Metadata_group\nA1,1\n", "have a column 'group' already"),
        ("well,object\nA1,1\n", "a column cannot be called 'object'"),
        ("well,a/b\nA1,1\n", "a column cannot be called 'a/b'"),
        ("well,well\nA1,1\n", "has two columns called 'well'"),
        ("", "map.csv cannot be read as a table"),
    ],
)
def test_wrong_maps(tmp_path, text, message):
    pattern = r"p(?P<plate>\d)_(?P<well>...)_(?P<site>\d)"
    catalog = plates(tmp_path, pattern, "p1_A01_1.png", "p1_A02_1.png")
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        mapped(catalog, tmp_path, text)
    assert "\n" not in str(caught.value)


def test_images_without_wells_and_a_map_that_is_not_there(tmp_path):
    catalog = plates(tmp_path, r"(?P<thing>...)\.", "A01.png")
    with pytest.raises(UserError, match=r"nothing says which well an image is of: add a group"):
        mapped(catalog, tmp_path, "well,x\nA1,1\n")
    with pytest.raises(UserError, match=r"gone\.csv cannot be read as a table: No such file"):
        join_plate(catalog, str(tmp_path / "gone.csv"))


def test_doses_of_a_plate_in_the_results(shared_dir, tmp_path):
    root = shared_dir / "data" / "cp_sbs_plate"
    cells = tmp_path / "cells"
    cells.mkdir()
    for well in range(1, 13, 4):
        for c in "12":
            name = f"Channel{c}-{well:02d}-A-{well:02d}.tif"
            (cells / name).symlink_to(root / name)
    config = write_config(
        tmp_path / "c.yml",
        text=(
            f"load:\n  format: tiff\n  plate_map: {root / '1049_Metadata.csv'}\n  kwargs:\n"
            r"    regex: 'Channel(?P<channel>\d)-(?P<id>\d+-(?P<row>.)-(?P<column>\d+))\.tif$'"
            "\nfeature_extraction: [intensity]\n"
        ),
    )
    assert run(Alone(), Request(config, [str(cells)], tmp_path / "out", quiet=True)) == 0
    obs = anndata.read_h5ad(tmp_path / "out" / "features.h5ad").obs
    known = pd.read_csv(root / "1049_Metadata.csv").query("Row == 'A'").set_index("Column")
    wells = [1, 5, 9]
    assert obs["column"].tolist() == [f"{w:02d}" for w in wells]
    for name in ("SBS_Doses", "SBS_Controls", "ImageNumber"):
        assert obs[name].tolist() == known.loc[wells, name].tolist()
    assert obs["SBS_Doses"].nunique() > 1
