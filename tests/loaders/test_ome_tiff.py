"""OME-TIFF: pixels equal tifffile's, whatever the tiles, planes and levels; damage stays there."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from scip_mpi.config import parse_config
from scip_mpi.errors import UserError
from scip_mpi.loaders import ome_tiff
from scip_mpi.loaders.contract import ImageInfo
from scip_mpi.plan import find_images

U2 = np.dtype(np.uint16)


def pixels(*shape, dtype=np.uint16):
    return np.random.default_rng(1).integers(0, 4096, shape).astype(dtype)


def write(path, *images, **options):
    """An OME-TIFF of images, each with its axes and metadata."""
    with tifffile.TiffWriter(path, ome=True, bigtiff=options.pop("bigtiff", False)) as tif:
        for image, axes, metadata in images:
            tif.write(image, metadata={"axes": axes, **metadata}, **options)
    return str(path)


def everything(catalog, channels=None, dtype=U2, **kwargs):
    return ome_tiff.read(catalog.references(0, len(catalog)), channels, np.dtype(dtype), **kwargs)


def test_the_tissue(shared_dir):
    folder = shared_dir / "data" / "segmentation_truth" / "tissue_ometiff"
    catalog = ome_tiff.discover([str(folder)])
    assert list(catalog.names) == ["int/p0_y1_r1_c0.ome.tif", "seg/p0_y1_r1_c0.ome.tif"]
    assert [catalog.groups[g] for g in catalog.group] == ["int", "seg"]
    assert not catalog.numbers
    batch, failures = everything(catalog, dtype=np.uint32)
    assert not failures
    for i, name in enumerate(catalog.names):
        np.testing.assert_array_equal(batch.image(i)[0], tifffile.imread(folder / name))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tile": (16, 32)},
        {"tile": (32, 16), "compression": "zlib", "predictor": True},
        {"tile": (16, 16), "compression": "lzw", "bigtiff": True},
        {"rowsperstrip": 7, "compression": "zstd"},
        {"rowsperstrip": 5},
    ],
    ids=str,
)
@pytest.mark.parametrize("axes", ["TCZYX", "TZCYX", "CZTYX", "ZTCYX"])
def test_planes_channels_and_times(tmp_path, options, axes):
    sizes = {"T": 2, "C": 3, "Z": 4, "Y": 50, "X": 37}
    image = pixels(*(sizes[a] for a in axes))
    path = write(tmp_path / "a.ome.tif", (image, axes, {}), photometric="minisblack", **options)
    whole = image.transpose([axes.index(a) for a in "TCZYX"])
    np.testing.assert_array_equal(tifffile.imread(path), image)
    catalog = ome_tiff.discover([path])
    assert list(catalog.names) == ["a.ome.tif#t0", "a.ome.tif#t1"]
    assert catalog.numbers["t"].tolist() == [0, 1]
    assert catalog.numbers["z"].tolist() == [0, 0]
    assert catalog.notes == ["2 images have several planes in z: load.kwargs.z chooses z 0 of them"]
    info = ome_tiff.probe((path,), int(catalog.within[1]))
    assert info == ImageInfo((3, 50, 37), U2)
    for z in (None, 3):
        batch, failures = everything(catalog, z=z)
        assert not failures
        for t in range(2):
            np.testing.assert_array_equal(batch.image(t), whole[t, :, z or 0])
    batch, _ = everything(catalog, [2, 0], window=(3, 30, 41, 36), t=1, of=3)
    np.testing.assert_array_equal(batch.image(0), whole[1, [2, 0], 0, 3:41, 30:36])
    catalog = ome_tiff.discover([path], z="each", t=1)
    assert list(catalog.names) == [f"a.ome.tif#z{z}" for z in range(4)]
    batch, _ = everything(catalog)
    for z in range(4):
        np.testing.assert_array_equal(batch.image(z), whole[1, :, z])
    batch, failures = everything(ome_tiff.discover([path], z=4, t=2))
    assert not len(batch)
    assert "has 2 times, so none with index 2" in failures[0].error


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("options", [{}, {"tile": (16, 16), "compression": "zlib"}], ids=str)
def test_colours_are_channels(tmp_path, planar, options):
    axes = "CYXS" if planar == "contig" else "CSYX"
    image = pixels(2, *((30, 41, 3) if planar == "contig" else (3, 30, 41)), dtype=np.uint8)
    path = write(
        tmp_path / "rgb.ome.tif", (image, axes, {}),
        photometric="rgb", planarconfig=planar, **options,
    )  # fmt: skip
    expected = (np.moveaxis(image, -1, 1) if planar == "contig" else image).reshape(6, 30, 41)
    batch, failures = everything(ome_tiff.discover([path]), dtype=np.uint8)
    assert not failures
    np.testing.assert_array_equal(batch.image(0), expected)
    batch, _ = everything(
        ome_tiff.discover([path]), [4, 1, 5], dtype=np.uint8, window=(17, 2, 30, 18)
    )
    np.testing.assert_array_equal(batch.image(0), expected[[4, 1, 5], 17:30, 2:18])


def pyramid(path, image, **options):
    with tifffile.TiffWriter(path, ome=True) as tif:
        names = {"Channel": {"Name": ["DNA", "GFP"]}}
        size = {"PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm"}
        tif.write(
            image, subifds=2, tile=(32, 32), photometric="minisblack",
            metadata={"axes": "CYX", **names, **size}, **options,
        )  # fmt: skip
        for step in (2, 4):
            tif.write(image[:, ::step, ::step], subfiletype=1, tile=(32, 32), **options)
    return str(path)


@pytest.mark.parametrize("compression", [None, "zlib", "jpegxr"])
def test_levels_of_a_pyramid(tmp_path, compression):
    image = pixels(2, 200, 128)
    path = pyramid(tmp_path / "slide.ome.tif", image, compression=compression)
    for level, step in enumerate((1, 2, 4)):
        catalog = ome_tiff.discover([path], level=level)
        assert catalog.channel_names == ["DNA", "GFP"]
        assert catalog.numbers["pixel_size"].tolist() == [0.25 * step]
        assert catalog.costs().tolist() == [image[:, ::step, ::step].nbytes]
        batch, failures = everything(catalog)
        assert not failures
        np.testing.assert_array_equal(batch.image(0), tifffile.imread(path, level=level))
        np.testing.assert_array_equal(batch.image(0), image[:, ::step, ::step])
    # A level that is not there is the image's failure.
    catalog = ome_tiff.discover([path], level=3)
    with pytest.raises(UserError, match="has 3 levels, so none with index 3"):
        ome_tiff.probe((path,), int(catalog.within[0]))


def test_a_pixel_size_of_the_config_wins(tmp_path):
    path = pyramid(tmp_path / "slide.ome.tif", pixels(2, 200, 128))
    text = "load: {format: ome_tiff, pixel_size: %s}\nfeature_extraction: [raw]\n"
    for given, size in (("null", 0.25), (0.7, 0.7)):
        config = parse_config(text % given, "scip.yml")
        assert find_images(config, [path]).numbers["pixel_size"].tolist() == [size]


def test_a_window_reads_its_tiles_only(tmp_path, monkeypatch):
    path = pyramid(tmp_path / "slide.ome.tif", pixels(2, 200, 128))
    read = []
    own = tifffile.FileHandle.read_segments

    def counted(self, offsets, counts, indices=None, **kwargs):
        read.extend(indices)
        return own(self, offsets, counts, indices, **kwargs)

    monkeypatch.setattr(tifffile.FileHandle, "read_segments", counted)
    batch, _ = everything(ome_tiff.discover([path]), [1], window=(40, 33, 70, 60))
    assert batch.shapes.tolist() == [[1, 30, 27]]
    # Of 7 x 4 tiles, two in the second column.
    assert read == [5, 9]


def test_several_images_of_a_file(tmp_path):
    images = [pixels(2, 20, 30), pixels(2, 25, 15)]
    named = [
        (image, "CYX", {"Name": name, "Channel": {"Name": [f"{name}1", "b"]}})
        for image, name in zip(images, ("left", "right"), strict=True)
    ]
    (tmp_path / "plate_A").mkdir()
    path = write(tmp_path / "plate_A" / "a.ome.tif", *named, photometric="minisblack")
    catalog = ome_tiff.discover([path], regex=r"plate_(?P<group>.)/(?P<name>.)")
    assert list(catalog.names) == ["a.ome.tif#0", "a.ome.tif#1"]
    codes, values = catalog.metadata["image_name"]
    assert [values[c] for c in codes] == ["left", "right"]
    assert catalog.groups == ["A"]
    # Names that differ from image to image are nobody's.
    assert catalog.channel_names is None
    batch, failures = everything(catalog)
    assert not failures
    for i, image in enumerate(images):
        np.testing.assert_array_equal(batch.image(i), image)


def test_an_image_in_several_files(tmp_path):
    """As Micro-Manager writes them: each file's OME-XML names them all."""
    image = pixels(2, 20, 30)
    names, uuids = ["a.ome.tif", "b.ome.tif"], ["urn:uuid:1", "urn:uuid:2"]
    data = "".join(
        f'<TiffData FirstC="{c}" FirstT="0" FirstZ="0" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{names[c]}">{uuids[c]}</UUID></TiffData>'
        for c in range(2)
    )
    for c in range(2):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{uuids[c]}"><Image ID="Image:0" Name="x"><Pixels ID="Pixels:0" '
            'DimensionOrder="XYCZT" Type="uint16" SizeX="30" SizeY="20" SizeC="2" SizeZ="1" '
            'SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
            f'<Channel ID="Channel:0:1" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>'
        )
        tifffile.imwrite(
            tmp_path / names[c], image[c], description=xml, metadata=None,
            photometric="minisblack",
        )  # fmt: skip
    catalog = ome_tiff.discover([str(tmp_path)])
    assert list(catalog.names) == ["a.ome.tif"]
    batch, failures = everything(catalog)
    assert not failures
    np.testing.assert_array_equal(batch.image(0), image)
    with pytest.raises(UserError, match="continue other OME-TIFF files"):
        ome_tiff.discover([str(tmp_path / "b.ome.tif")])
    (tmp_path / "b.ome.tif").unlink()
    batch, failures = everything(ome_tiff.discover([str(tmp_path)]))
    assert "lacks the page of channel 1" in failures[0].error


def test_what_cannot_be_read_fails_alone(tmp_path):
    image = pixels(2, 20, 30)
    (tmp_path / "a.ome.tif").write_bytes(b"")
    write(tmp_path / "b.ome.tif", (image, "CYX", {}), photometric="minisblack")
    tifffile.imwrite(tmp_path / "c.tif", image, photometric="minisblack")
    write(tmp_path / "d.ome.tif", (image, "CYX", {}), photometric="minisblack", tile=(16, 16))
    whole = (tmp_path / "d.ome.tif").read_bytes()
    catalog = ome_tiff.discover([str(tmp_path)])
    (tmp_path / "d.ome.tif").write_bytes(whole[: len(whole) // 2])
    batch, failures = everything(catalog)
    assert batch.index.tolist() == [1]
    assert "a.ome.tif: is empty" in failures[0].error
    assert "c.tif: has no OME-XML, so it is no OME-TIFF: use format multiframe_tiff" in (
        failures[1].error
    )
    assert "d.ome.tif: " in failures[2].error
    with pytest.raises(UserError, match=r"c\.tif: has no OME-XML"):
        ome_tiff.probe((str(tmp_path / "c.tif"),), 0)
