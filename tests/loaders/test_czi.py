"""CZI: real files as two other readers read them, and files written from the description."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from czi_encoder import JPEGXR, RAW, ZSTD, ZSTD_PACKED, described, write_czi

from scip_mpi.errors import UserError
from scip_mpi.loaders import czi
from scip_mpi.loaders.contract import ImageInfo

U2 = np.dtype(np.uint16)
# SHA-256 (first 16 digits) of the (C, H, W) that czifile 2019.7.2.3 reads, t by t and z by z; the
# planes of pylibCZIrw 6.1.0 are the same.
STACK = [
    "eef3b4373b419d7a", "70cbb19ed53fdc1b", "7c64801c506a0589", "4fb727ccc416b52f",
    "3e8cf862a2269003", "6ce2dcc1e8a5d9ae", "7a181f02c6bde38d", "a980f8881f0c5947",
    "09ff6f9d02618a55", "719e04a82fe65f04", "67c674417b5ea988", "f7431b7733a7608b",
    "e53f97b213dd5c36", "cd42615bf4235590", "534b1e811321fe2f",
]  # fmt: skip
COLOURS, SINGLE = "5db1b3e337d1ea2d", "8415833c8132d530"


def pixels(*shape, dtype=np.uint16, seed=1):
    return np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)


def everything(catalog, channels=None, dtype=U2, **kwargs):
    return czi.read(catalog.references(0, len(catalog)), channels, np.dtype(dtype), **kwargs)


def digest(image):
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()[:16]


def test_real_files(shared_dir):
    folder = shared_dir / "data" / "czi"
    catalog = czi.discover([str(folder / "CD_s_1_t_3_c_2_z_5.czi")], z="each")
    assert catalog.image_names([7])[0] == "CD_s_1_t_3_c_2_z_5.czi#t1_z2"
    assert catalog.numbers["t"].tolist() == np.repeat(range(3), 5).tolist()
    assert catalog.numbers["z"].tolist() == [0, 1, 2, 3, 4] * 3
    assert catalog.channel_names == ["LED555", "LED470"]
    np.testing.assert_allclose(catalog.numbers["pixel_size"], 0.090576674152210312)
    own = catalog.references(7, 8)
    assert czi.probe(own.sources[0], int(own.within[0])) == ImageInfo((2, 170, 240), U2)
    batch, failures = everything(catalog)
    assert not failures
    assert [digest(batch.image(i)) for i in range(15)] == STACK
    catalog = czi.discover([str(folder / "CD_s_1_t_3_c_2_z_5.czi")], t=2)
    assert catalog.notes == ["1 images have several planes in z: load.kwargs.z chooses z 0 of them"]
    batch, _ = everything(catalog, z=4)
    assert digest(batch.image(0)) == STACK[14]
    colours, _ = everything(czi.discover([str(folder / "RGB-8bit.czi")]), dtype=np.uint8)
    assert digest(colours.image(0)) == COLOURS
    green = np.load(folder / "RGB-8bit_Gplane.npy")
    np.testing.assert_array_equal(colours.image(0)[1], green)
    single = czi.discover([str(folder / "s_1_t_1_c_1_z_1.czi")])
    assert list(single.names) == ["s_1_t_1_c_1_z_1.czi"]
    assert single.channel_names == ["Bright"]
    batch, _ = everything(single)
    assert digest(batch.image(0)) == SINGLE


def mosaic(seed, dtype=np.uint16, channels=2, scene=0):
    """Four tiles that overlap, as blocks, and the whole; the last are on top."""
    whole = np.zeros((channels, 50, 70), dtype)
    blocks = []
    for m, (y, x) in enumerate(((0, 0), (0, 30), (20, 0), (20, 30))):
        for c in range(channels):
            tile = pixels(30, 40, dtype=dtype, seed=100 * seed + 10 * m + c)
            whole[c, y : y + 30, x : x + 40] = tile
            blocks.append(({"X": 1000 * scene + x, "Y": y - 7, "C": c, "M": m, "S": scene}, tile))
    return blocks, whole


@pytest.mark.parametrize("compression", [RAW, JPEGXR, ZSTD, ZSTD_PACKED])
@pytest.mark.parametrize("pyramid", [False, True])
def test_scenes_and_mosaics(tmp_path, compression, pyramid):
    parts = [mosaic(k, scene=k) for k in range(3)]
    blocks = [b for own, _ in parts for b in own][::-1]
    xml = described({0: "A1-P1", 1: "A1-P2", 2: "B3-P1"}, ["DNA", "GFP"], 5e-7)
    path = write_czi(tmp_path / "a.czi", blocks, xml, compression, pyramid)
    catalog = czi.discover([path])
    assert list(catalog.names) == ["a.czi#s0", "a.czi#s1", "a.czi#s2"]
    assert catalog.metadata["scene"][1] == ["A1-P1", "A1-P2", "B3-P1"]
    assert catalog.channel_names == ["DNA", "GFP"]
    np.testing.assert_allclose(catalog.numbers["pixel_size"], 0.5)
    batch, failures = everything(catalog)
    assert not failures
    for i, (_, whole) in enumerate(parts):
        np.testing.assert_array_equal(batch.image(i), whole)
    batch, _ = everything(catalog, [1], window=(10, 25, 40, 69))
    np.testing.assert_array_equal(batch.image(2), parts[2][1][[1], 10:40, 25:69])
    pattern = r"(?P<well>(?P<group>[A-Z])\d)-P(?P<site>1)$"
    catalog = czi.discover([path], regex=pattern)
    assert list(catalog.names) == ["a.czi#s0", "a.czi#s2"]
    assert catalog.groups == ["A", "B"]
    assert catalog.metadata["well"][1] == ["A1", "B3"]
    batch, _ = everything(catalog)
    np.testing.assert_array_equal(batch.image(1), parts[2][1])
    catalog = czi.discover([path], scenes=["A1-P2"], tiles=True)
    assert list(catalog.names) == [f"a.czi#s1_m{m}" for m in range(4)]
    batch, failures = everything(catalog)
    assert not failures
    for m in range(4):
        for c in range(2):
            (tile,) = [p for s, p in parts[1][0] if (s["M"], s["C"]) == (m, c)]
            np.testing.assert_array_equal(batch.image(m)[c], tile)
    with pytest.raises(UserError, match="fit none of the scenes"):
        czi.discover([path], scenes=["A1"])
    assert list(czi.discover([path], scenes="^A", regex="P2").names) == ["a.czi#s1"]
    with pytest.raises(UserError, match="no regular expression"):
        czi.discover([path], scenes="(")


@pytest.mark.parametrize("compression", [RAW, ZSTD])
def test_colours_and_types(tmp_path, compression):
    images = [pixels(20, 30, 3, dtype=np.uint8, seed=c) for c in range(2)]
    blocks = [({"X": 0, "Y": 0, "C": c}, image) for c, image in enumerate(images)]
    path = write_czi(tmp_path / "a.czi", blocks, compression=compression)
    batch, failures = everything(czi.discover([path]), dtype=np.uint8)
    assert not failures
    expected = np.concatenate([np.moveaxis(i, -1, 0) for i in images])
    np.testing.assert_array_equal(batch.image(0), expected)
    batch, _ = everything(czi.discover([path]), [5, 0], dtype=np.uint8)
    np.testing.assert_array_equal(batch.image(0), expected[[5, 0]])
    image = pixels(20, 30, dtype=np.float32)
    path = write_czi(tmp_path / "b.czi", [({"X": 0, "Y": 0}, image)], compression=compression)
    batch, _ = everything(czi.discover([path]), dtype=np.float32)
    np.testing.assert_array_equal(batch.image(0)[0], image)


def test_what_cannot_be_read_fails_alone(tmp_path):
    blocks, whole = mosaic(0)
    (tmp_path / "a.czi").write_bytes(b"")
    write_czi(tmp_path / "b.czi", blocks)
    (tmp_path / "c.czi").write_bytes(b"nothing" * 100)
    write_czi(tmp_path / "d.czi", [b for b in blocks if b[0]["C"] or b[0]["M"] == 0][1:2])
    data = bytearray((tmp_path / "b.czi").read_bytes())
    data[data.find(b"ZISRAWSUBBLOCK", 2000)] = 0
    (tmp_path / "e.czi").write_bytes(data)
    write_czi(tmp_path / "f.czi", blocks[1:], compression=JPEGXR)
    catalog = czi.discover([str(tmp_path)], tiles=False)
    batch, failures = everything(catalog, of=2)
    assert [f.index for f in failures] == [0, 2, 3, 4]
    np.testing.assert_array_equal(batch.image(0), whole)
    assert "a.czi: is empty" in failures[0].error
    assert "c.czi: is no CZI file" in failures[1].error
    assert "has 1 channel, the first image has 2" in failures[2].error
    assert "a tile is not where it should be" in failures[3].error
    with pytest.raises(UserError, match="is no CZI file"):
        czi.probe((str(tmp_path / "c.czi"),), 0)
