"""CIF: files that are written from the same words, and the vectors among them; no instrument's."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from cif_encoder import Writer, compress_image, compress_mask, number_nibbles, write_cif
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from scip_mpi.errors import UserError
from scip_mpi.job import Request
from scip_mpi.loaders import cif, cif_kernels
from scip_mpi.loaders.companions import read_companions
from scip_mpi.loaders.contract import ImageInfo
from scip_mpi.parallel.world import Alone
from scip_mpi.run import run

I2 = np.dtype(np.int16)


def objects(n=5, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    return [
        rng.integers(-20, 4096, (channels, *rng.integers(6, 30, 2))).astype(np.int16)
        for _ in range(n)
    ]


def masks_of(images):
    return [(i > 2000).astype(np.uint8) * (1 + k % 3) for k, i in enumerate(images)]


def everything(catalog, channels=None, **kwargs):
    return cif.read(catalog.references(0, len(catalog)), channels, I2, **kwargs)


@pytest.mark.parametrize(
    ("value", "nibbles"),
    [
        (0, "0"), (3, "3"), (4, "C0"), (-1, "7"), (-4, "4"), (-5, "B7"), (8, "81"), (100, "CC1"),
        (-100, "CB6"), (4095, "FFFF0"), (-4096, "88887"),
    ],
)  # fmt: skip
def test_numbers_of_the_description(value, nibbles):
    assert number_nibbles(value) == [int(n, 16) for n in nibbles]
    data = nibbles + "0" * (len(nibbles) % 2)
    stream = np.array([int(data[k + 1] + data[k], 16) for k in range(0, len(data), 2)], np.uint8)
    plane = np.empty((1, 1), np.int16)
    assert cif_kernels.decode_image(stream, plane) == cif_kernels.WHOLE
    assert plane[0, 0] == value


def test_the_plane_of_the_description():
    expected = np.array([[10, 12, 11], [9, 12, 13]], np.int16)
    stream = bytes.fromhex("1A721702")
    assert compress_image(expected) == stream
    plane = np.empty((2, 3), np.int16)
    assert cif_kernels.decode_image(np.frombuffer(stream, np.uint8), plane) == cif_kernels.WHOLE
    np.testing.assert_array_equal(plane, expected)


@given(arrays.arrays(np.int16, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_any_plane_comes_back(plane):
    decoded = np.empty_like(plane)
    stream = np.frombuffer(compress_image(plane), np.uint8)
    assert cif_kernels.decode_image(stream, decoded) == cif_kernels.WHOLE
    np.testing.assert_array_equal(decoded, plane)
    if len(stream) > 1:
        assert cif_kernels.decode_image(stream[:-1], decoded) == cif_kernels.SHORT
    more = np.append(stream, [0, 0]).astype(np.uint8)
    assert cif_kernels.decode_image(more, decoded) == cif_kernels.LONG


@given(arrays.arrays(np.uint8, st.integers(1, 900), elements=st.integers(0, 1)))
def test_any_mask_comes_back(mask):
    decoded = np.empty_like(mask)
    stream = np.frombuffer(compress_mask(mask), np.uint8)
    assert cif_kernels.decode_mask(stream, decoded) == cif_kernels.WHOLE
    np.testing.assert_array_equal(decoded, mask)
    assert cif_kernels.decode_mask(stream[:-2], decoded) == cif_kernels.SHORT
    more = np.append(stream, [1, 0]).astype(np.uint8)
    assert cif_kernels.decode_mask(more, decoded) == cif_kernels.LONG


def test_sums_wrap_round_in_16_bits():
    """As numpy's sums over rows and columns do."""
    numbers = np.array([[32767, 1], [1, 5]])
    nibbles = [n for v in numbers.ravel().tolist() for n in number_nibbles(v)]
    nibbles += [0] * (len(nibbles) % 2)
    stream = np.array([a | b << 4 for a, b in zip(nibbles[::2], nibbles[1::2], strict=True)], "u1")
    plane = np.empty((2, 2), np.int16)
    assert cif_kernels.decode_image(stream, plane) == cif_kernels.WHOLE
    expected = numbers.cumsum(axis=0).cumsum(axis=1).astype(np.int16)
    np.testing.assert_array_equal(plane, expected)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("stored", ["compressed", "plain"])
@pytest.mark.parametrize("masks_first", [False, True])
def test_images_and_masks(tmp_path, order, stored, masks_first):
    images = objects()
    masks = masks_of(images)
    names = ["BF", "unused", "PI", "SSC"]
    (tmp_path / "run7").mkdir()
    path = write_cif(
        tmp_path / "run7" / "a.cif", images, masks, names, "1 0 1 1",
        order, stored, strips=4, masks_first=masks_first,
    )  # fmt: skip
    catalog = cif.discover([str(tmp_path)], regex="run(?P<run>.)/(?P<group>.)", masks=True)
    assert list(catalog.names) == [f"run7/a.cif#{k}" for k in range(5)]
    assert catalog.numbers["object_number"].tolist() == [0, 1, 2, 3, 4]
    assert catalog.groups == ["a"]
    assert catalog.metadata["run"][1] == ["7"]
    assert catalog.channel_names == ["BF", "PI", "SSC"]
    assert catalog.costs().tolist() == [i.nbytes for i in images]
    assert catalog.companions == ["mask"]
    info = cif.probe((path,), int(catalog.within[3]))
    assert info == ImageInfo(images[3].shape, I2, 4095.0)
    references = catalog.references(0, 5)
    batch, failures = everything(catalog, of=3)
    assert not failures
    for i, image in enumerate(images):
        np.testing.assert_array_equal(batch.image(i), image)
    batch, _ = everything(catalog, [2, 0])
    batch, planes, failures = read_companions(references, batch, ["mask"], [2, 0])
    assert not failures
    for i, mask in enumerate(masks):
        np.testing.assert_array_equal(batch.image(i), images[i][[2, 0]])
        np.testing.assert_array_equal(planes["mask"].image(i), mask[[2, 0]])
    batch, failures = everything(catalog, window=(1, 2, 5, 6))
    np.testing.assert_array_equal(batch.image(2), images[2][:, 1:5, 2:6])
    with pytest.raises(UserError, match="neither z nor t"):
        everything(catalog, z=1)


def test_files_without_masks_and_objects_without(tmp_path):
    images = objects()
    masks = masks_of(images)
    masks[2] = None
    write_cif(tmp_path / "a.cif", images)
    write_cif(tmp_path / "b.CIF", images, masks)
    catalog = cif.discover([str(tmp_path)])
    assert catalog.companions == []
    batch, failures = everything(catalog)
    assert len(batch) == 10
    assert not failures
    catalog = cif.discover([str(tmp_path / "b.CIF")], masks=True)
    references = catalog.references(0, 5)
    batch, _ = everything(catalog)
    batch, _, failures = read_companions(references, batch, ["mask"], [0, 1, 2])
    assert batch.index.tolist() == [0, 1, 3, 4]
    assert "has no companion mask" in failures[0].error
    # Shards hold a plane per companion.
    _, _, failures = read_companions(references, batch, ["mask"])
    assert "masks for each channel, which cannot be packed" in failures[0].error


def test_damage_stays_with_its_object(tmp_path):
    images = objects(3)
    writer = Writer()
    xml = b"<a><ChannelInUseIndicators_0_11>1 1 1</ChannelInUseIndicators_0_11></a>"
    writer.directory({33027: xml, 33018: [9]})
    for k, image in enumerate(images):
        writer.picture(2, k, image, "compressed", 1)
        if k == 1:
            entry = writer.link - 12 * 8
            at = int.from_bytes(writer.data[entry + 12 * 5 + 8 : entry + 12 * 5 + 12], "little")
            writer.data[entry + 12 * 5 + 8 : entry + 12 * 5 + 12] = (at // 2).to_bytes(4, "little")
    path = tmp_path / "a.cif"
    path.write_bytes(writer.data)
    catalog = cif.discover([str(path)])
    assert catalog.notes == [f"{path} has 3 images of 9 objects"]
    batch, failures = everything(catalog)
    assert batch.index.tolist() == [0, 2]
    assert failures[0].error.endswith("the data of its image ends too early")
    path.write_bytes(writer.data[:-200])
    with pytest.raises(UserError, match="chain of directories leads nowhere"):
        cif.discover([str(path)])
    path.write_bytes(writer.data)
    _, failures = cif.read(catalog.references(0, 1), [0, 3], I2)
    assert "has 3 channels, so none with index 3" in failures[0].error


def test_what_is_no_cif_file(tmp_path):
    path = tmp_path / "a.cif"

    def refused(match, data):
        path.write_bytes(data)
        with pytest.raises(UserError, match=match):
            cif.discover([str(path)])

    refused("is empty", b"")
    refused("does not begin as a TIFF does", b"nothing at all")
    writer = Writer()
    writer.directory({33000: [3]})
    refused("lacks the tag 33027", writer.data)
    writer = Writer()
    writer.directory({33000: [3], 33027: b"<a"})
    refused("is no XML", writer.data)
    writer = Writer()
    writer.directory({33000: [3], 33027: b"<a></a>"})
    refused("holds no images", writer.data)
    writer.picture(2, 0, objects(1)[0], "plain", 1)
    writer.picture(2, 0, objects(1)[0], "plain", 1)
    refused("an object has two images", writer.data)


def test_a_run_with_the_instruments_masks(tmp_path):
    images = [np.clip(i, 0, 4095) for i in objects(8)]
    masks = [np.ones(i.shape, np.uint8) for i in images]
    for k, (image, mask) in enumerate(zip(images, masks, strict=True)):
        mask[:, 0] = 0
        mask[1, :, : 1 + k % 3] = 0
        image[2, 1, :k] = 4095
    write_cif(tmp_path / "a.cif", images, masks, ["BF", "PI", "SSC"])
    (tmp_path / "scip.yml").write_text(
        "load: {format: cif, kwargs: {masks: true}, channels: [1, 2]}\n"
        "mask:\n"
        "  main_channel_index: 0\n"
        "  methods: [{method: file, name: own, border: keep}]\n"
        "feature_extraction: {own: [raw, shape, intensity]}\n"
    )
    out = tmp_path / "out"
    request = Request(tmp_path / "scip.yml", [str(tmp_path / "a.cif")], out, quiet=True)
    assert run(Alone(), request) == 0
    table = anndata.read_h5ad(out / "features.h5ad")
    frame = table.to_df()
    for name, c in (("PI", 1), ("SSC", 2)):
        assert frame[f"feat_own_area_{name}"].tolist() == [m[c].sum() for m in masks]
        sums = [i[c][m[c] > 0].sum() for i, m in zip(images, masks, strict=True)]
        np.testing.assert_allclose(frame[f"feat_own_sum_{name}"], sums, rtol=1e-6)
    seen = pd.read_parquet(out / "images.parquet")
    saturated = [c for c in seen if "saturated" in c and c.endswith("SSC")]
    assert saturated
    expected = [(i[2] >= 4095).mean() for i in images]
    np.testing.assert_allclose(seen[saturated[0]], expected, rtol=1e-6)
