"""Listing: order, ids, the regex, and complaints in plain words."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scip_mpi.errors import UserError
from scip_mpi.loaders import multiframe_tiff
from scip_mpi.loaders.listing import shown
from scip_mpi.loaders.patterns import factorize


def make(root: Path, names: list[str]) -> None:
    for name in names:
        path = os.path.join(os.fspath(root), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(name.encode("utf-8", "surrogateescape"))


def discover(*paths: Path | str, **kwargs: str):
    return multiframe_tiff.discover([os.fspath(p) for p in paths], **kwargs)


def test_order_is_that_of_the_bytes_of_relative_paths(tmp_path):
    names = ["b.tif", "a/2.tiff", "a.tif", "a/10.TIF", "B.TIFF", "é.tif", "z.tif", "a-b/1.tif"]
    make(tmp_path, names)
    expected = sorted(names, key=lambda n: n.encode())
    catalog = discover(tmp_path)
    assert catalog.names == expected
    assert expected[:2] == ["B.TIFF", "a-b/1.tif"]
    assert catalog.files == [f"{tmp_path}/{n}" for n in expected]
    assert catalog.sizes.tolist() == [len(n.encode()) for n in expected]
    assert catalog.mtimes.tolist() == [os.stat(f).st_mtime_ns for f in catalog.files]
    assert catalog.within.tolist() == [0] * len(names)
    assert catalog.sources[:, 0].tolist() == list(range(len(names)))


def test_order_of_creation_plays_no_part(tmp_path):
    names = [f"{folder}/{i}.tif" for folder in ("x", "m", "a") for i in range(9)]
    make(tmp_path / "one", names)
    make(tmp_path / "two", names[::-1])
    one, two = discover(tmp_path / "one"), discover(tmp_path / "two")
    assert one.names == two.names == sorted(names)
    assert one.group.tolist() == two.group.tolist()
    assert one.groups == two.groups == ["a", "m", "x"]


def test_paths_keep_the_order_given_and_parents_are_groups(tmp_path):
    make(tmp_path, ["b/x.tif", "a/deep/y.tif", "a/w.tif", "c.tif"])
    catalog = discover(tmp_path / "b", tmp_path / "a", tmp_path / "c.tif")
    assert catalog.names == ["x.tif", "deep/y.tif", "w.tif", "c.tif"]
    assert [catalog.groups[g] for g in catalog.group] == ["b", "deep", "a", tmp_path.name]
    assert catalog.image_names([3, 0]) == ["c.tif", "x.tif"]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.binary(min_size=1, max_size=12).filter(
            lambda b: b"/" not in b and b"\0" not in b and b not in (b".", b"..")
        ),
        min_size=1,
        max_size=8,
        unique=True,
    )
)
def test_any_name_that_a_file_can_have(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("names")
    files = [b + b".tif" for b in names]
    for name in files:
        with open(os.path.join(os.fsencode(folder), name), "wb") as stream:
            stream.write(b"x")
    catalog = discover(folder)
    assert [os.fsencode(n) for n in catalog.names] == sorted(files)
    assert all(os.path.getsize(f) == 1 for f in catalog.files)
    assert all(shown(f).isprintable() for f in catalog.files)


def test_named_groups_become_group_and_metadata(tmp_path):
    names = ["s1_early_p2/c.tif", "s2_p1/c.tif", "s2_p1/d.tif", "other/e.tif"]
    make(tmp_path, names)
    pattern = r"s(?P<group>[0-9])(_(?P<fix>early|late))?_p(?P<part>[0-9])/"
    catalog = discover(tmp_path, regex=pattern)
    assert catalog.names == names[:3]
    assert catalog.skipped == 1
    assert [catalog.groups[g] for g in catalog.group] == ["1", "2", "2"]
    codes, values = catalog.metadata["fix"]
    assert (codes.tolist(), values) == ([0, -1, -1], ["early"])
    codes, values = catalog.metadata["part"]
    assert [values[c] for c in codes] == ["2", "1", "1"]
    assert set(catalog.metadata) == {"fix", "part"}


def test_regex_sees_the_path_as_given(tmp_path, monkeypatch):
    make(tmp_path, ["data/run7/a.tif"])
    monkeypatch.chdir(tmp_path)
    assert discover("data/run7", regex=r"^data/run(?P<group>[0-9])/a").groups == ["7"]
    assert discover("data/run7/a.tif", regex=r"^data/run(?P<group>[0-9])/a").groups == ["7"]
    monkeypatch.chdir("data")
    with pytest.raises(UserError, match=r"matches none of 1 files; the first is run7/a\.tif"):
        discover("run7", regex="^data")


def test_without_a_named_group_the_folder_is_the_group(tmp_path):
    make(tmp_path, ["day1/a.tif", "day2/b.tif"])
    catalog = discover(tmp_path, regex=r"(?P<cell>[ab])\.tif$")
    assert catalog.groups == ["day1", "day2"]
    assert catalog.metadata["cell"][1] == ["a", "b"]


def test_names_as_in_the_published_blood_cell_config(tmp_path):
    pattern = r"sample(?P<group>[0-9])_?(?P<fix>(early|late))?_part(?P<part>[0-9]).+.tif$"
    make(tmp_path, ["sample1_early_part1_x.tif", "sample2_part3_y.tif", "sample_part3.tif"])
    catalog = discover(tmp_path, regex=pattern)
    assert catalog.groups == ["1", "2"]
    assert catalog.metadata["fix"][0].tolist() == [0, -1]
    assert catalog.metadata["part"][1] == ["1", "3"]
    assert catalog.skipped == 1


@pytest.mark.parametrize(
    ("regex", "message"),
    [
        ("(", "is no regular expression"),
        (r"(?P<channel>\d)", "'channel' here: each file of multiframe_tiff holds all channels"),
        ("[^/]{300}", "matches none of 1 files"),
    ],
)
def test_wrong_patterns(tmp_path, regex, message):
    make(tmp_path, ["1.tif"])
    with pytest.raises(UserError, match=re.escape(message)):
        discover(tmp_path, regex=regex)


def test_complaints_about_paths(tmp_path):
    make(tmp_path, ["full/a.tif", "other/a.tif", "none/readme.txt"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"cannot read .*gone: No such file"):
        discover(tmp_path / "gone")
    for folder in ("empty", "none"):
        with pytest.raises(UserError, match=rf"{folder} holds no \*\.tif or \*\.tiff files"):
            discover(tmp_path / "full", tmp_path / folder)
    with pytest.raises(UserError, match="is named twice"):
        discover(tmp_path / "full", tmp_path / "full")
    with pytest.raises(UserError, match="is named twice"):
        discover(tmp_path / "full", tmp_path / "full" / "a.tif")
    with pytest.raises(UserError, match="is named twice"):
        discover(tmp_path, tmp_path / "full")
    with pytest.raises(UserError, match=r"full/a\.tif and .*other/a\.tif would have the same id"):
        discover(tmp_path / "full", tmp_path / "other")


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    make(tmp_path, ["a.tif", "closed/b.tif"])
    scandir = os.scandir

    # Root, as tests in containers run, may read every folder: so the refusal is played.
    def refuse(path):
        if os.path.basename(path) == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"cannot list the folder .*closed: Permission denied$"):
        discover(tmp_path)


def test_links(tmp_path):
    make(tmp_path, ["in/a.tif", "in/deep/b.tif", "out/c.tif"])
    root = tmp_path / "in"
    (root / "loop").symlink_to(root)
    (root / "deep" / "up").symlink_to("..")
    (root / "linked").symlink_to(tmp_path / "out")
    (root / "lost.tif").symlink_to("nowhere.tif")
    (root / "self.tif").symlink_to("self.tif")
    (root / "file.tif").symlink_to(tmp_path / "out" / "c.tif")
    os.mkfifo(root / "pipe.tif")
    (root / "folder.tif").mkdir()
    catalog = discover(root)
    names = ["a.tif", "deep/b.tif", "file.tif", "linked/c.tif", "lost.tif", "self.tif"]
    assert catalog.names == names
    assert catalog.sizes.tolist() == [8, 13, 9, 9, 0, 0]


def test_factorize_codes_point_at_their_values():
    codes, values = factorize(["b", None, "a", "b"])
    assert values == ["a", "b"]
    assert codes.tolist() == [1, -1, 0, 1]
