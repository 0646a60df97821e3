"""Companions: label images beside the images; what is wrong with one costs its image only."""

from __future__ import annotations

import re
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import discover, read, touch, write_tiff

from scip_mpi.config import parse_config
from scip_mpi.errors import UserError
from scip_mpi.loaders import image, table, tiff
from scip_mpi.loaders.companions import attach, read_companions
from scip_mpi.loaders.contract import Catalog
from scip_mpi.plan import find_images

MASK = {"mask": (r"_img\.tif$", "_mask.tif")}
LABELS = np.arange(20, dtype=np.uint16).reshape(4, 5) * 300


def fields(folder: Path, ids: str = "abc") -> Path:
    for k, name in enumerate(ids):
        write_tiff(folder / f"{name}_img.tif", np.full((4, 5), k, np.uint8))
        write_tiff(folder / f"{name}_mask.tif", LABELS + k)
    return folder


def images(folder: Path) -> Catalog:
    return discover(image, folder, regex="_img")


def together(catalog: Catalog, dtype=np.uint8):
    """Images and companions of a catalog, read as a run does; no image is lost."""
    batch, failures = read(image, catalog, dtype)
    references = catalog.references(0, len(catalog))
    kept, named, more = read_companions(references, batch, catalog.companions)
    for planes in named.values():
        assert planes.index.tolist() == kept.index.tolist()
        assert planes.pixels.dtype == np.int64
        np.testing.assert_array_equal(planes.shapes[:, 1:], kept.shapes[:, 1:])
    places = [*kept.index.tolist(), *(f.index for f in (*failures, *more))]
    assert sorted(places) == list(range(len(catalog)))
    for f in more:
        assert f.stage == "read"
        assert "\n" not in f.error
    return kept, named, more


def test_a_label_image_beside_each_image(tmp_path):
    catalog = images(fields(tmp_path))
    joined = attach(catalog, MASK)
    assert joined.companions == ["mask"]
    assert len(joined.files) == 6
    assert joined.sizes.tolist()[3:] == [(tmp_path / f"{n}_mask.tif").stat().st_size for n in "abc"]
    kept, named, failures = together(joined)
    assert not failures
    for k in range(3):
        assert kept.image(k)[0, 0, 0] == k
        np.testing.assert_array_equal(named["mask"].image(k)[0], LABELS + k)
    # The images themselves are what they were.
    assert joined.references(0, 3).alone().sources == catalog.references(0, 3).sources


def test_imaging_mass_cytometry(shared_dir):
    root = shared_dir / "data" / "imc_pancreas"
    catalog = discover(image, root, regex=r"_imc\.tiff$")
    joined = attach(catalog, {"cells": ("_imc", "_mask")})
    kept, named, failures = together(joined, np.float32)
    assert not failures
    assert len(kept) == 2
    for k, name in enumerate(("E34", "G01")):
        expected = tifffile.imread(root / f"{name}_mask.tiff")
        np.testing.assert_array_equal(named["cells"].image(k)[0], expected)
        assert expected.max() > 255


def test_several_companions_keep_their_names(tmp_path):
    fields(tmp_path)
    for k, name in enumerate("abc"):
        write_tiff(tmp_path / "n" / f"{name}.tif", LABELS + 100 + k)
    rules = {"nuclei": (r"(\w)_img\.tif", r"n/\1.tif"), **MASK}
    _, named, failures = together(attach(images(tmp_path), rules))
    assert not failures
    assert list(named) == ["nuclei", "mask"]
    assert named["nuclei"].image(2)[0, 0, 0] == 102
    assert named["mask"].image(2)[0, 0, 0] == 2


def test_the_same_companion_for_all(tmp_path):
    fields(tmp_path)
    joined = attach(images(tmp_path), {"flat": (r"[^/]+_img\.tif$", "a_mask.tif")})
    assert len(joined.files) == 4
    kept, named, failures = together(joined)
    assert len(kept) == 3
    assert not failures
    np.testing.assert_array_equal(named["flat"].image(2)[0], LABELS)


def complaint(folder: Path, data: bytes | None = None, plane: np.ndarray | None = None) -> str:
    """What is said of b's mask, which costs the other images nothing."""
    mask = folder / "b_mask.tif"
    if plane is not None:
        tifffile.imwrite(mask, plane, photometric="minisblack")
    elif data is None:
        mask.unlink()
    else:
        mask.write_bytes(data)
    kept, named, failures = together(attach(images(folder), MASK))
    assert kept.index.tolist() == [0, 2]
    assert [p[0, 0, 0] for p in kept] == [0, 2]
    assert [p[0, 0, 0] for p in named["mask"]] == [0, 2]
    assert [f.index for f in failures] == [1]
    return failures[0].error.removeprefix(f"{mask}: (companion mask) ")


@pytest.mark.parametrize(
    ("plane", "message"),
    [
        (np.zeros((5, 4), "u2"), "is 5 x 4 pixels, its image is 4 x 5"),
        (np.zeros((1, 1), "u2"), "is 1 x 1 pixels, its image is 4 x 5"),
        (np.arange(40).reshape(2, 4, 5).astype("u2"), "has 2 planes, not one"),
        (np.full((4, 5), 0.5, "f4"), "has values that are no whole numbers"),
        (np.full((4, 5), np.nan, "f4"), "has values that are no whole numbers"),
        (np.full((4, 5), -np.inf, "f8"), "has values that are no whole numbers"),
        (np.full((4, 5), 1e300, "f8"), "has values that do not fit 64 bits"),
        (np.full((4, 5), 2**63, "u8"), "has values that do not fit 64 bits"),
        (np.zeros((4, 5), "c8"), "has pixels of type complex64, which cannot be measured"),
    ],
)
def test_a_companion_that_does_not_fit(tmp_path, plane, message):
    assert complaint(fields(tmp_path), plane=plane) == message


def test_a_companion_that_cannot_be_read(tmp_path):
    fields(tmp_path)
    data = (tmp_path / "b_mask.tif").read_bytes()
    assert complaint(tmp_path, b"") == "is empty (0 bytes)"
    assert complaint(tmp_path, b"text") == "is no TIFF, PNG, JPEG or BMP file"
    # The image, which is sound, must not be blamed.
    assert "(companion" not in complaint(tmp_path, data[:40])
    assert complaint(tmp_path) == "No such file or directory"
    (tmp_path / "b_mask.tif").mkdir()
    kept, _, failures = together(attach(images(tmp_path), MASK))
    assert len(kept) == 2
    assert failures[0].error == f"{tmp_path}/b_mask.tif: (companion mask) Is a directory"


def test_all_companions_may_be_missing(tmp_path):
    fields(tmp_path)
    kept, named, failures = together(attach(images(tmp_path), {"m": ("_img", "_nothing")}))
    assert len(kept) == len(named["m"]) == 0
    assert len(failures) == 3


@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "f4", "f8", "i8"])
def test_whole_numbers_of_any_type(tmp_path, dtype):
    fields(tmp_path, "a")
    plane = (np.arange(20).reshape(4, 5) - (5 if dtype[0] != "u" else 0)).astype(dtype)
    write_tiff(tmp_path / "a_mask.tif", plane)
    _, named, failures = together(attach(images(tmp_path), MASK))
    assert not failures
    np.testing.assert_array_equal(named["mask"].image(0)[0], plane)


def test_colour_planes_that_are_all_equal_are_one(tmp_path):
    fields(tmp_path, "ab")
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5)
    rules = {"mask": (r"_img\.tif$", ".png")}
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.dstack([grey] * 3)))
    (tmp_path / "b.png").write_bytes(imagecodecs.png_encode(np.dstack([grey, grey, 2 * grey])))
    _, named, failures = together(attach(images(tmp_path), rules))
    np.testing.assert_array_equal(named["mask"].image(0)[0], grey)
    assert failures[0].error == f"{tmp_path}/b.png: (companion mask) has 3 planes, not one"


def test_images_whose_paths_do_not_match(tmp_path):
    joined = attach(images(fields(tmp_path)), {"m": ("([ac])_img", r"\1_mask")})
    assert joined.notes == ["1 images have no companion m: their paths do not match"]
    kept, _, failures = together(joined)
    assert kept.index.tolist() == [0, 2]
    assert failures[0].error == f"{tmp_path}/b_img.tif: has no companion m"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (("(", "x"), "load.companions.m: is no pattern and replacement: missing )"),
        (("_img", r"\1"), "load.companions.m: is no pattern and replacement: invalid group"),
        (("_img", r"\g<x>"), "load.companions.m: is no pattern and replacement: "),
        (("_img", r"\q"), "load.companions.m: is no pattern and replacement: bad escape"),
        (("_mask", "x"), "load.companions.m.match is in none of the paths, such as "),
        (("_img", "_img"), "a_img.tif to the image itself"),
        ((r"/c_img", "/c_img"), "c_img.tif to the image itself"),
        (("_img", r"\0"), r"load.companions.m.replace: for the whole match write \g<0>, not \0"),
    ],
)
def test_wrong_rules(tmp_path, rule, message):
    catalog = images(fields(tmp_path))
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        attach(catalog, {"m": rule})
    assert "\n" not in str(caught.value)


def test_the_first_file_there_is_decides(tmp_path):
    # b has no file of the first channel: its companion is still its own.
    for name in ("a_0", "a_1", "b_1", "a_m", "b_m"):
        write_tiff(tmp_path / f"{name}.tif", np.full((4, 5), ord(name[0]), np.uint8))
    catalog = discover(tiff, tmp_path, regex=r"(?P<id>[ab])_(?P<channel>\d)\.tif")
    joined = attach(catalog, {"m": (r"_\d\.tif", "_m.tif")})
    assert joined.references(1, 2).sources == [("", f"{tmp_path}/b_1.tif", f"{tmp_path}/b_m.tif")]
    with pytest.raises(UserError, match=r"from .*a_0\.tif to the image itself"):
        attach(catalog, {"m": (r"_\d\.tif", "_1.tif")})


def test_companions_of_a_table_and_of_the_config(tmp_path):
    fields(tmp_path)
    (tmp_path / "t.csv").write_text("path,companion_mask\na_img.tif,b_mask.tif\nb_img.tif,\n")
    catalog = discover(table, tmp_path / "t.csv")
    with pytest.raises(UserError, match="the table has a column companion_mask already"):
        attach(catalog, MASK)
    joined = attach(catalog, {"own": MASK["mask"]})
    assert joined.companions == ["mask", "own"]
    kept, named, failures = together(joined)
    assert kept.index.tolist() == [0]
    assert named["mask"].image(0)[0, 0, 0] == 1
    assert named["own"].image(0)[0, 0, 0] == 0
    assert failures[0].error == f"{tmp_path}/b_img.tif: has no companion mask"


def test_a_part_of_a_catalog(tmp_path):
    joined = attach(images(fields(tmp_path, "abcd")), MASK)
    part = joined.references(1, 4).take([0, 1, 2])
    batch, _ = image.read(part, None, np.dtype("u1"))
    kept, named, failures = read_companions(part, batch, ["mask"])
    assert not failures
    assert kept.index.tolist() == [1, 2, 3]
    assert [p[0, 0, 0] for p in named["mask"]] == [1, 2, 3]


def test_the_config_names_companions_and_a_plate_map(tmp_path):
    names = ["A1_img.tif", "A2_img.tif", "A1_mask.tif"]
    touch(tmp_path, names)
    (tmp_path / "map.csv").write_text("well,drug\nA01,x\n")
    config = parse_config(
        "load:\n  format: image\n  kwargs: {regex: '(?P<well>A.)_img'}\n"
        f"  plate_map: {tmp_path / 'map.csv'}\n"
        "  companions: {mask: {match: _img, replace: _mask}}\nfeature_extraction: [shape]\n",
        "c.yml",
    )
    catalog = find_images(config, [str(tmp_path)])
    assert catalog.companions == ["mask"]
    assert catalog.metadata["drug"][0].tolist() == [0, -1]
    assert catalog.references(1, 2).sources == [
        (f"{tmp_path}/A2_img.tif", f"{tmp_path}/A2_mask.tif")
    ]


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_damage_costs_its_image_only(tmp_path_factory, data):
    folder = fields(tmp_path_factory.mktemp("damage"))
    mask = folder / "b_mask.tif"
    hit = bytearray(mask.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(hit) - 1), max_size=6)):
        hit[place] ^= data.draw(st.integers(1, 255))
    mask.write_bytes(hit[: data.draw(st.integers(0, len(hit)))])
    kept, _, failures = together(attach(images(folder), MASK))
    assert {0, 2} <= set(kept.index.tolist())
    assert all(f.error.startswith(f"{mask}: (companion mask) ") for f in failures)
