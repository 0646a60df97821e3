"""Labels find their cells."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from finished import make_out, write_labels

from scip_mpi.classification.labels import Labels, match_images, read_labels
from scip_mpi.errors import UserError


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images of two cells each, then one of one."""
    return make_out(
        tmp_path_factory.mktemp("labels") / "out",
        np.zeros((5, 1), np.float32),
        images=["a/x.tif", "b/x.tif", "b/y.tif"],
        image=[0, 0, 1, 1, 2],
        label=[1, 2, 1, 2, 1],
    )


def read(
    out: Path, tmp_path: Path, header: str, *rows: tuple[object, ...], **options: str
) -> Labels:
    path = write_labels(tmp_path / "labels.csv", header, rows)
    with h5py.File(out / "features.h5ad") as file:
        return read_labels(file, path, **options)


def texts(labels: Labels) -> list[str]:
    return [labels.classes[c] if c >= 0 else "" for c in labels.codes]


def test_all_cells_of_an_image_get_its_label(out: Path, tmp_path: Path) -> None:
    found = read(out, tmp_path, "image,label", ("b/y.tif", "two"), ("a/x.tif", "one"))
    assert found.classes == ["one", "two"]
    assert texts(found) == ["one", "one", "", "", "two"]
    assert found.row.tolist() == [1, 1, -1, -1, 0]
    assert not found.notes


def test_an_object_gets_its_own(out: Path, tmp_path: Path) -> None:
    found = read(
        out, tmp_path, "Image,Object,class", ("b/x.tif", 2, "p"), ("a/x.tif", 1, "q"),
        ("a/x.tif", 9, "q"),
    )  # fmt: skip
    assert texts(found) == ["q", "", "", "p", ""]
    assert "1 labels" in found.notes[0]


def test_cells_are_found_by_their_names(out: Path, tmp_path: Path) -> None:
    found = read(out, tmp_path, "cell,what", ("1_2", "p"), ("2_1", "q"), label="what")
    assert texts(found) == ["", "", "", "p", "q"]


def test_leading_folders_may_be_missing_on_either_side() -> None:
    images = np.array(["s/a/x.tif", "s/b/x.tif"], object)
    deeper = np.array(["data/run/s/b/x.tif", "data/run/s/a/x.tif"], object)
    assert match_images(deeper, images).tolist() == [1, 0]
    flatter = np.array(["b/x.tif", "a/x.tif", "c/x.tif"], object)
    assert match_images(flatter, images).tolist() == [1, 0, -1]
    # Without the folders that tell them apart, names mean nothing.
    assert match_images(np.array(["x.tif"], object), images).tolist() == [-1]
    backslash = np.array(["s\\b\\x.tif"], object)
    assert match_images(backslash, images).tolist() == [1]


def test_empty_labels_are_none(out: Path, tmp_path: Path) -> None:
    found = read(out, tmp_path, "image,label", ("b/y.tif", ""), ("a/x.tif", "one"))
    assert texts(found) == ["one", "one", "", "", ""]
    assert "1 lines" in found.notes[0]


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("image,label", [("a/x.tif", "p"), ("a/x.tif", "q")], "both 'p' and 'q'"),
        ("image,label", [("z.tif", "p")], "no image is in the table, not 'z.tif'"),
        ("image,colour", [("a/x.tif", "p")], "none of the columns label"),
        ("name,label", [("a/x.tif", "p")], "which cell a label is of"),
        ("image,object,label", [("a/x.tif", "one", "p")], "object 'one' is no number"),
        ("image,label", [], "holds no line"),
    ],
)
def test_what_cannot_be_right_is_said(
    out: Path, tmp_path: Path, header: str, rows: list[tuple[object, ...]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read(out, tmp_path, header, *rows)


def test_a_file_that_cannot_be_read_is_said(out: Path, tmp_path: Path) -> None:
    (tmp_path / "bytes.csv").write_bytes(b"image,label\n\xff\xfe,x\n")
    with h5py.File(out / "features.h5ad") as file:
        with pytest.raises(UserError, match="cannot be read: No such file"):
            read_labels(file, tmp_path / "none.csv")
        with pytest.raises(UserError, match="no CSV in UTF-8"):
            read_labels(file, tmp_path / "bytes.csv")
