"""OME-Zarr: pixels equal what zarr-python was given, in both versions of zarr; plates are wells."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from scip_mpi.errors import UserError
from scip_mpi.loaders import ome_zarr
from scip_mpi.loaders.contract import ImageInfo

U2 = np.dtype(np.uint16)
KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def pixels(*shape, dtype=np.uint16, seed=1):
    return np.random.default_rng(seed).integers(0, 4096, shape).astype(dtype)


def write(group, levels, axes, names=None, size=None, **options):
    """An image: version 0.4 in zarr version 2, 0.5 in version 3."""
    v3 = group.metadata.zarr_format == 3
    described = [{"name": a, "type": KINDS[a]} for a in axes]
    datasets = []
    for k, image in enumerate(levels):
        made = group.create_array(str(k), shape=image.shape, dtype=image.dtype, **options)
        made[...] = image
        scale = [1.0] * len(axes) if size is None else [
            size * 2**k if a in "yx" else 1.0 for a in axes]  # fmt: skip
        datasets.append(
            {"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        )
    if size is not None:
        for axis in described[-2:]:
            axis["unit"] = "micrometer"
    said = {"multiscales": [{"version": "0.4", "axes": described, "datasets": datasets}]}
    if names:
        said["omero"] = {"channels": [{"label": n} for n in names]}
    group.attrs.update({"ome": {**said, "version": "0.5"}} if v3 else said)


def create(path, version=2):
    return zarr.open_group(path, mode="w", zarr_format=version)


def everything(catalog, channels=None, dtype=U2, **kwargs):
    return ome_zarr.read(catalog.references(0, len(catalog)), channels, np.dtype(dtype), **kwargs)


def test_the_real_ones(shared_dir):
    """Version 0.1; the formula of their pixels stands beside them."""
    folder = shared_dir / "data" / "segmentation_truth" / "tissue_ometiff" / "omezarr"
    catalog = ome_zarr.discover([str(folder)])
    assert list(catalog.names) == ["multi.ome.zarr", "test.ome.zarr"]
    assert catalog.groups == ["omezarr"]
    batch, failures = everything(catalog)
    assert not failures
    rows, columns = np.mgrid[:1500, :1200]
    np.testing.assert_array_equal(batch.image(0)[0], (rows * 7 + columns * 3) % 65536)
    assert batch.image(0).sum(dtype=int) == 12681000000
    rows, columns = np.mgrid[:512, :512]
    np.testing.assert_array_equal(batch.image(1)[0], rows + columns)
    batch, _ = everything(catalog, window=(400, 100, 512, 512))
    np.testing.assert_array_equal(batch.image(1)[0], (rows + columns)[400:, 100:])


@pytest.mark.parametrize(
    ("version", "options"),
    [
        (2, {"chunks": (1, 1, 1, 16, 16)}),
        (2, {"chunks": (1, 3, 2, 20, 37), "compressors": None}),
        (3, {"chunks": (1, 1, 1, 16, 16)}),
        (3, {"chunks": (2, 3, 1, 25, 10), "compressors": BloscCodec(cname="lz4")}),
        (3, {"chunks": (1, 1, 1, 10, 8), "shards": (1, 3, 2, 50, 40), "compressors": ZstdCodec()}),
        (3, {"chunks": (1, 1, 4, 50, 37), "compressors": GzipCodec()}),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["<u2", ">u2", "|u1", "<f4", "<i4"])
def test_planes_channels_and_times(tmp_path, version, options, dtype):
    image = pixels(2, 3, 4, 50, 37, dtype=dtype)
    write(create(tmp_path / "a.zarr", version), [image], "tczyx", **options)
    catalog = ome_zarr.discover([str(tmp_path)])
    assert list(catalog.names) == ["a.zarr#t0", "a.zarr#t1"]
    assert catalog.numbers["t"].tolist() == [0, 1]
    native = np.dtype(dtype).newbyteorder("=")
    own = catalog.references(1, 2)
    assert ome_zarr.probe(own.sources[0], int(own.within[0])) == ImageInfo((3, 50, 37), native)
    for z in (None, 3):
        batch, failures = everything(catalog, dtype=native, z=z)
        assert not failures
        for t in range(2):
            np.testing.assert_array_equal(batch.image(t), image[t, :, z or 0])
    batch, _ = everything(catalog, [2, 0], native, window=(3, 20, 41, 33), t=1, of=3)
    np.testing.assert_array_equal(batch.image(0), image[1, [2, 0], 0, 3:41, 20:33])
    catalog = ome_zarr.discover([str(tmp_path)], z="each", t=1)
    assert catalog.numbers["z"].tolist() == [0, 1, 2, 3]
    batch, _ = everything(catalog, [1], native)
    np.testing.assert_array_equal(batch.image(3)[0], image[1, 1, 3])
    _, failures = everything(ome_zarr.discover([str(tmp_path)], z=4), dtype=native)
    assert failures[0].error.endswith("a.zarr: has 4 planes in z, so none with index 4")


@pytest.mark.parametrize("version", [2, 3])
def test_levels_names_and_sizes(tmp_path, version):
    image = pixels(2, 64, 48)
    levels = [image, image[:, ::2, ::2]]
    write(create(tmp_path / "a.zarr", version), levels, "cyx", ["DNA", "GFP"], size=0.5)
    for level, expected in enumerate(levels):
        catalog = ome_zarr.discover([str(tmp_path / "a.zarr")], level=level)
        assert catalog.channel_names == ["DNA", "GFP"]
        assert catalog.numbers["pixel_size"].tolist() == [0.5 * 2**level]
        assert catalog.costs().tolist() == [expected.nbytes]
        batch, _ = everything(catalog)
        np.testing.assert_array_equal(batch.image(0), expected)
    catalog = ome_zarr.discover([str(tmp_path / "a.zarr")], level=2)
    _, failures = everything(catalog)
    assert "has 2 levels, so none with index 2" in failures[0].error


@pytest.mark.parametrize("version", [2, 3])
def test_a_plate(tmp_path, version):
    plate = create(tmp_path / "run1_plate7.zarr", version)
    wells = [("A/1", 2), ("B/12", 1)]
    said = {"plate": {"name": "x", "wells": [{"path": p} for p, _ in wells], "version": "0.4"}}
    plate.attrs.update({"ome": said} if version == 3 else said)
    expected = []
    for path, fields in wells:
        well = plate.create_group(path)
        said = {"well": {"images": [{"path": str(k)} for k in range(fields)]}}
        well.attrs.update({"ome": said} if version == 3 else said)
        for k in range(fields):
            expected.append(pixels(2, 20, 30, seed=len(expected)))
            write(well.create_group(str(k)), [expected[-1]], "cyx")
    catalog = ome_zarr.discover([str(tmp_path)], regex=r"run(?P<run>\d)")
    names = ["A/1/0", "A/1/1", "B/12/0"]
    assert list(catalog.names) == [f"run1_plate7.zarr/{n}" for n in names]
    assert catalog.groups == ["run1_plate7.zarr"]
    for column, values in {
        "well": ["A1", "A1", "B12"], "field": ["0", "1", "0"], "run": ["1"] * 3,
    }.items():  # fmt: skip
        codes, known = catalog.metadata[column]
        assert [known[c] for c in codes] == values
    batch, failures = everything(catalog)
    assert not failures
    for i, image in enumerate(expected):
        np.testing.assert_array_equal(batch.image(i), image)
    catalog = ome_zarr.discover([str(tmp_path)], regex=r"plate(?P<group>\d)")
    assert catalog.groups == ["7"]
    # An image that is broken fails; a well that is fails all, as nobody knows its images.
    shutil.rmtree(tmp_path / "run1_plate7.zarr" / "A/1/1/0")
    catalog = ome_zarr.discover([str(tmp_path)])
    batch, failures = everything(catalog)
    assert batch.index.tolist() == [0, 2]
    assert "A/1/1: its " in failures[0].error
    with pytest.raises(UserError, match="is a well of a plate: name the plate's folder"):
        ome_zarr.discover([str(tmp_path / "run1_plate7.zarr" / "A" / "1")])
    shutil.rmtree(tmp_path / "run1_plate7.zarr" / "B/12")
    with pytest.raises(UserError, match="its well B/12 cannot be read"):
        ome_zarr.discover([str(tmp_path)])


def test_images_that_are_numbered(tmp_path):
    """As bioformats2raw writes a file of several images."""
    top = create(tmp_path / "a.zarr")
    top.attrs["bioformats2raw.layout"] = 3
    create(tmp_path / "a.zarr" / "OME")
    images = [pixels(1, 20, 30), pixels(1, 10, 12)]
    for k, image in enumerate(images):
        write(top.create_group(str(k)), [image], "cyx")
    catalog = ome_zarr.discover([str(tmp_path)])
    assert list(catalog.names) == ["a.zarr/0", "a.zarr/1"]
    batch, failures = everything(catalog)
    assert not failures
    for i, image in enumerate(images):
        np.testing.assert_array_equal(batch.image(i), image)


def test_what_the_user_must_mend(tmp_path):
    def refused(match):
        with pytest.raises(UserError, match=match):
            ome_zarr.discover([str(tmp_path)])

    refused("holds no OME-Zarr groups")
    group = create(tmp_path / "a.zarr")
    refused("says nothing of images, so it is no OME-Zarr")
    group.attrs["plate"] = {"wells": [{}]}
    refused("its attributes are not as OME-Zarr's should be")
    (tmp_path / "a.zarr" / ".zattrs").write_text("{")
    refused("its .zattrs is no JSON")


def test_damage_stays_with_its_image(tmp_path):
    image = pixels(2, 20, 30)
    for name in "abcd":
        write(create(tmp_path / f"{name}.zarr"), [image], "cyx", chunks=(1, 20, 30))
    (tmp_path / "a.zarr/0/1.0.0").write_bytes(b"nothing")
    head = json.loads((tmp_path / "b.zarr/0/.zarray").read_text())
    head["chunks"] = [2, 1 << 20, 1 << 20]
    (tmp_path / "b.zarr/0/.zarray").write_text(json.dumps(head))
    attributes = json.loads((tmp_path / "c.zarr/.zattrs").read_text())
    attributes["multiscales"][0]["axes"][0]["name"] = "angle"
    (tmp_path / "c.zarr/.zattrs").write_text(json.dumps(attributes))
    batch, failures = everything(ome_zarr.discover([str(tmp_path)]))
    assert batch.index.tolist() == [3]
    assert "a.zarr: its chunk 1.0.0 is truncated or corrupt" in failures[0].error
    assert "which cannot be read at once" in failures[1].error
    assert "has axes angleyx" in failures[2].error


def test_a_shard_with_a_wrong_checksum(tmp_path):
    image = pixels(2, 20, 30)
    write(create(tmp_path / "a.zarr", 3), [image], "cyx", chunks=(1, 10, 10), shards=(2, 20, 30))
    path = tmp_path / "a.zarr/0/c/0/0/0"
    data = bytearray(path.read_bytes())
    data[-30] ^= 1
    path.write_bytes(data)
    _, failures = everything(ome_zarr.discover([str(tmp_path)]))
    assert failures[0].error.endswith("a.zarr: its shard c/0/0/0: its checksum is wrong")


def test_chunks_that_are_not_there_hold_the_fill_value(tmp_path):
    image = np.zeros((1, 40, 40), np.uint16)
    image[0, :10, :10] = 7
    for version, more in ((2, {}), (3, {}), (3, {"shards": (1, 20, 20)})):
        group = create(tmp_path / f"{version}{len(more)}.zarr", version)
        write(group, [image], "cyx", chunks=(1, 10, 10), fill_value=0, **more)
        np.testing.assert_array_equal(group["0"][...], image)
    batch, failures = everything(ome_zarr.discover([str(tmp_path)]))
    assert not failures
    for i in range(3):
        np.testing.assert_array_equal(batch.image(i), image)
