"""HDF5 files of other programs: pixels equal those that h5py wrote; what does not fit is said."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from scip_mpi.errors import UserError
from scip_mpi.loaders import hdf5
from scip_mpi.loaders.contract import ImageInfo

U2 = np.dtype(np.uint16)


def pictures(n=5, channels=3, h=12, w=9, dtype=np.uint16):
    rng = np.random.default_rng(0)
    return rng.integers(0, 4096, (n, channels, h, w)).astype(dtype)


def write(path, **datasets):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            file[name.replace("_", "/")] = value
    return str(path)


def everything(catalog, channels=None, dtype=U2, **kwargs):
    return hdf5.read(catalog.references(0, len(catalog)), channels, np.dtype(dtype), **kwargs)


@pytest.mark.parametrize("axes", ["NCYX", "NYXC", "CNYX", "YXCN", "NCXY", "XNYC"])
def test_a_dataset_in_any_order_of_axes(tmp_path, axes):
    images = pictures()
    stored = images.transpose(["NCYX".index(a) for a in axes])
    path = write(tmp_path / "plate1" / "a.h5", data_images=stored)
    catalog = hdf5.discover([str(tmp_path)], images="data/images", axes=axes)
    assert len(catalog) == 5
    assert catalog.groups == ["plate1"]
    assert catalog.image_names([0, 4]) == ["plate1/a.h5#0", "plate1/a.h5#4"]
    assert catalog.costs().tolist() == [images[0].nbytes] * 5
    own = catalog.references(3, 4)
    assert own.sources[0][0] == path
    assert hdf5.probe(own.sources[0], 3) == ImageInfo((3, 12, 9), U2)
    batch, failures = everything(catalog)
    assert not failures
    for i, image in enumerate(images):
        np.testing.assert_array_equal(batch.image(i), image)
    batch, _ = everything(catalog, [2, 0], window=(3, 1, 11, 5), of=3)
    np.testing.assert_array_equal(batch.image(4), images[4, [2, 0], 3:11, 1:5])


@pytest.mark.parametrize(("axes", "shape"), [("YX", (12, 9)), ("NYX", (5, 12, 9)),
                                             ("CYX", (5, 12, 9)), ("YXC", (12, 9, 5))])  # fmt: skip
def test_axes_that_are_missing(tmp_path, axes, shape):
    stored = pictures(1, 1, *(1, np.prod(shape)))[0, 0, 0].reshape(shape)
    write(tmp_path / "a.hdf5", x=stored)
    catalog = hdf5.discover([str(tmp_path)], images="x", axes=axes)
    batch, failures = everything(catalog)
    assert not failures
    expected = stored
    for axis in "CN":
        if axis not in axes:
            expected = expected[np.newaxis]
            axes = axis + axes
    expected = expected.transpose([axes.index(a) for a in "NCYX"])
    assert len(batch) == len(expected)
    for i, image in enumerate(expected):
        np.testing.assert_array_equal(batch.image(i), image)


def test_pixels_and_shapes(tmp_path):
    images = [pictures(1, 2, 5 + k, 20 - k)[0] for k in range(6)]
    flat = np.concatenate([i.ravel() for i in images])
    path = write(tmp_path / "cells_B.h5", shapes=[i.shape for i in images], pixels=flat)
    catalog = hdf5.discover(
        [path], images="pixels", shapes="shapes", regex=r"_(?P<group>[A-Z])\.h5$"
    )
    assert catalog.groups == ["B"]
    assert catalog.costs().tolist() == [i.nbytes for i in images]
    batch, failures = everything(catalog, of=2)
    assert not failures
    for i, image in enumerate(images):
        np.testing.assert_array_equal(batch.image(i), image)
    batch, failures = everything(catalog, [1], window=(0, 2, 5, 15))
    assert not failures
    np.testing.assert_array_equal(batch.image(3), images[3][[1], 0:5, 2:15])
    sources = catalog.references(0, 1).sources[0]
    assert hdf5.probe(sources, 5).shape == images[5].shape
    with pytest.raises(UserError, match="holds 6 images, so none with index 6"):
        hdf5.probe(sources, 6)


def test_images_of_several_files_and_what_fails_stays_there(tmp_path):
    images = pictures()
    write(tmp_path / "a.h5", x=images)
    write(tmp_path / "b.h5", x=images[:2].astype(np.float32))
    write(tmp_path / "c.h5", x=images[:3])
    catalog = hdf5.discover([str(tmp_path)], images="x")
    assert catalog.named.tolist() == [0] * 5 + [1] * 2 + [2] * 3
    (tmp_path / "c.h5").write_bytes(b"nothing")
    batch, failures = everything(catalog)
    assert batch.index.tolist() == [0, 1, 2, 3, 4]
    assert [f.index for f in failures] == [5, 6, 7, 8, 9]
    assert "float32 pixels, which do not fit the run's uint16" in failures[0].error
    assert failures[2].error.endswith("c.h5: is truncated, broken or no HDF5 file")
    batch, failures = everything(catalog, [1, 7])
    assert "has 3 channels, so none with index 7" in failures[0].error
    with pytest.raises(UserError, match="neither z nor t"):
        everything(catalog, z=0)


def test_what_the_user_must_mend(tmp_path):
    images = pictures()
    write(tmp_path / "a.h5", x=images, flat=images.ravel(), two=np.zeros((2, 3), int), g_text="a")

    def refused(match, **kwargs):
        with pytest.raises(UserError, match=match):
            hdf5.discover([str(tmp_path)], **kwargs)

    refused("has no dataset y; it has flat, g/text, two, x", images="y")
    refused("has no dataset g; it has", images="g")
    refused("must hold Y and X, perhaps N and C", images="x", axes="NCYZ")
    refused("must hold Y and X", images="x", axes="NNYX")
    refused("has 4 dimensions, load.kwargs.axes CYX names 3", images="x", axes="CYX")
    refused("has shape .* not a .C, H, W. of whole", images="flat", shapes="x")
    refused("has impossible shapes", images="flat", shapes="two")
    write(tmp_path / "a.h5", x=images, s=[(3, 12, 9)] * 4)
    refused(r"has shape \(5, 3, 12, 9\); the 4 shapes in s need \(1296,\)", images="x", shapes="s")
    write(tmp_path / "a.h5", x=images[:0])
    refused("holds no images", images="x")
    write(tmp_path / "a.h5", x=images.astype(complex))
    refused("complex128, which cannot be measured", images="x")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", 6, h5py.vlen_dtype(np.uint16))
        file["s"] = [(1, 1, 1)] * 6
    refused("x has arrays of varying length: write them flat", images="x", shapes="s")
    (tmp_path / "a.h5").unlink()
    refused("holds no HDF5 files", images="x")
