"""What is damaged: for each reader a small folder of real files, and how it reads them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import tifffile
from cif_encoder import write_cif
from czi_encoder import JPEGXR, RAW, ZSTD, ZSTD_PACKED, described, write_czi
from fuzz.configs import CELLS, FIELDS, changed, run_config
from fuzz.mutations import mutated
from PIL import Image

from scip_mpi import registry
from scip_mpi.batches import ImageBatch
from scip_mpi.correction import read_spillover
from scip_mpi.loaders import companions
from scip_mpi.loaders.contract import Catalog, ImageInfo
from scip_mpi.loaders.plate import join_plate
from scip_mpi.loaders.shard import Channels, Columns
from scip_mpi.loaders.shard_writer import ShardWriter
from scip_mpi.loaders.texts import Texts

JURKAT = "data/jurkat_ifc/experiment1"
BY_CHANNEL = r"(?P<id>cell\d)_c(?P<channel>\d)"
PLATE = "plate.csv"


def damage_a_file(folder: Path, rng: np.random.Generator) -> str:
    """Change the bytes of some file."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    victim = files[rng.integers(len(files))]
    victim.write_bytes(mutated(victim.read_bytes(), rng))
    return str(victim.relative_to(folder))


@dataclass(frozen=True)
class Target:
    """A reader, its files, and what may be damaged of them.

    Attributes
    ----------
    build : callable
        ``build(shared, folder)`` puts the whole files into a folder.
    read : callable
        ``read(folder)`` reads them; the numbers of images and of failures.
    damage : callable
        ``damage(folder, rng)`` changes one of the files; which one.
    """

    build: Callable[[Path, Path], None]
    read: Callable[[Path], tuple[int, int]]
    damage: Callable[[Path, np.random.Generator], str] = damage_a_file


def read_all(loader: str, folder: Path, dtype: str, **kwargs: object) -> tuple[int, int]:
    """Discover, probe and read, as a run does."""
    return read_catalog(loader, discovered(loader, folder, **kwargs), dtype)


def discovered(loader: str, folder: Path, **kwargs: object) -> Catalog:
    """What a loader finds in a folder."""
    catalog: Catalog = registry.find("loaders", loader).discover([os.fspath(folder)], **kwargs)
    return catalog


def read_catalog(loader: str, catalog: Catalog, dtype: str) -> tuple[int, int]:
    """Probe the first image, read all, and their companions; what must hold whatever was read."""
    module = registry.find("loaders", loader)
    references = catalog.references(0, len(catalog))
    own = references.alone()
    info = module.probe(own.sources[0], int(own.within[0]))
    assert isinstance(info, ImageInfo)
    assert min(info.shape) > 0
    batch, failures = module.read(references, None, np.dtype(dtype))
    if catalog.companions:
        batch, planes, lacking = companions.read_companions(
            references, batch, catalog.companions, range(info.shape[0])
        )
        failures = failures + lacking
        assert all(len(p) == len(batch) for p in planes.values())
    told = sorted([*batch.index.tolist(), *(f.index for f in failures)])
    assert told == list(range(len(catalog))), "an image was lost, or is there twice"
    for failure in failures:
        assert failure.error
        assert "\n" not in failure.error
        assert "Traceback" not in failure.error
        # It was tried, then: whoever reads many at once has less to spare.
        assert "not enough memory" not in failure.error, failure.error
    assert len(batch.pixels) == batch.offsets[-1]
    if batch.pixels.dtype.kind == "f":
        assert np.isfinite(batch.pixels).all()
    return len(batch), len(failures)


def cells(shared: Path, count: int) -> list[np.ndarray]:
    """Some real cells of three channels, 12 bits in uint16."""
    return [tifffile.imread(path) for path in cell_files(shared, count)]


def cell_files(shared: Path, count: int) -> list[Path]:
    """Their files: deflated, with differences."""
    return sorted((shared / JURKAT).rglob("*.tiff"))[:count]


def build_frames(shared: Path, folder: Path) -> None:
    """Pages in the layouts that are read directly, and in some that are not."""
    shutil.copy(cell_files(shared, 1)[0], folder / "deflated.tiff")
    a, b, c = cells(shared, 3)
    tifffile.imwrite(folder / "float.tif", a.astype(np.float32), compression="zlib", predictor=3)
    tifffile.imwrite(folder / "plain.tif", a, photometric="minisblack")
    tifffile.imwrite(folder / "lzw.tif", b, photometric="minisblack", compression="lzw")
    tifffile.imwrite(folder / "zstd.tif", c, photometric="minisblack", compression="zstd")
    tifffile.imwrite(folder / "big.tif", a, photometric="minisblack", bigtiff=True, byteorder=">")
    tifffile.imwrite(folder / "tiled.tif", b, photometric="minisblack", tile=(16, 16))
    tifffile.imwrite(folder / "rgb.tif", np.moveaxis(c, 0, -1), photometric="rgb")
    tifffile.imwrite(folder / "imagej.tif", a, imagej=True)
    tifffile.imwrite(folder / "packbits.tif", b, photometric="minisblack", compression="packbits")


def build_by_channel(shared: Path, folder: Path) -> None:
    """A file for each channel."""
    for k, cell in enumerate(cells(shared, 3)):
        for c, plane in enumerate(cell):
            tifffile.imwrite(folder / f"cell{k}_c{c}.tif", plane, compression=[None, "zlib"][k % 2])


def build_pictures(shared: Path, folder: Path) -> None:
    """Two pictures of each kind, in colours."""
    for kind, where in (("bmp", "wbc_stained/dataset1"), ("jpg", "pbc_blood")):
        for k, path in enumerate(sorted((shared / "data" / where).rglob(f"*.{kind}"))[:2]):
            shutil.copy(path, folder / f"{k}.{kind}")
            colours = np.asarray(Image.open(path))[:64, :64]
            Image.fromarray(colours).save(folder / f"{kind}{k}.png")
    grey = cells(shared, 1)[0].astype(np.uint8)
    tifffile.imwrite(folder / "0.tif", grey, photometric="minisblack")


def build_table(shared: Path, folder: Path) -> None:
    """Lists of images: a CSV and a Parquet."""
    import pandas as pd

    files = cell_files(shared, 4)
    for k, path in enumerate(files):
        shutil.copy(path, folder / f"{k}.tiff")
    rows = {"id": ["a", "b"], "group": ["x", "y"], "dose": [0.5, 2.0], "replicate": [1, 2]}
    for kind, first in (("csv", 0), ("parquet", 2)):
        own = {"path": [f"{first}.tiff", f"{first + 1}.tiff"], "page": [0, 2]}
        frame = pd.DataFrame({**rows, "id": [f"{kind}{i}" for i in rows["id"]], **own})
        if kind == "csv":
            frame.to_csv(folder / "a.csv", index=False)
        else:
            frame.to_parquet(folder / "b.parquet")


def build_zarr(shared: Path, folder: Path) -> None:
    """SCIP's own array."""
    for path in (shared / "data/scip_tests/test.zarr").iterdir():
        (folder / "test.zarr").mkdir(exist_ok=True)
        shutil.copyfile(path, folder / "test.zarr" / path.name)


def build_ome_tiff(shared: Path, folder: Path) -> None:
    """Images of several channels, planes and times: in strips, in tiles, in colours, a pyramid."""
    a, b, c = cells(shared, 3)
    stack = np.stack([a, b, c, a]).reshape(2, 2, 3, 40, 40)
    grey = {"ome": True, "photometric": "minisblack"}
    for k, how in enumerate(({}, {"tile": (16, 16)}, {"tile": (16, 16), "compression": "zlib"})):
        axes = {"metadata": {"axes": "TZCYX", "PhysicalSizeX": 0.5}}
        tifffile.imwrite(folder / f"{k}.ome.tif", stack, **grey, **axes, **how)
    colours = np.moveaxis(c, 0, -1)
    tifffile.imwrite(folder / "rgb.ome.tif", colours, ome=True, photometric="rgb", tile=(32, 32))
    with tifffile.TiffWriter(folder / "pyramid.ome.tif", ome=True) as tif:
        how = {"tile": (16, 16), "compression": "lzw", "photometric": "minisblack"}
        tif.write(a, subifds=1, metadata={"axes": "CYX"}, **how)
        tif.write(a[:, ::2, ::2], subfiletype=1, **how)


def build_ome_zarr(shared: Path, folder: Path) -> None:
    """A plate of zarr version 2, and images of version 3: plain, compressed, in shards."""
    import zarr
    from numcodecs import Blosc
    from zarr.codecs import BloscCodec, GzipCodec

    a, b, c = cells(shared, 3)
    axes = [{"name": n, "type": "channel" if n == "c" else "space"} for n in "cyx"]
    scales = [{"axes": axes, "datasets": [{"path": "0"}], "version": "0.4"}]
    plate = zarr.open_group(folder / "plate.zarr", mode="w", zarr_format=2)
    plate.attrs["plate"] = {"wells": [{"path": "A/1"}, {"path": "B/2"}]}
    for well, how in (("A/1", None), ("B/2", Blosc())):
        group = plate.create_group(well)
        group.attrs["well"] = {"images": [{"path": "0"}]}
        image = group.create_group("0", attributes={"multiscales": scales})
        made = image.create_array("0", shape=a.shape, chunks=(1, 32, 32), dtype=a.dtype,
                                  compressors=how)  # fmt: skip
        made[:] = a
    ways = ({"compressors": None}, {"compressors": GzipCodec()}, {"compressors": BloscCodec()},
            {"shards": (3, 40, 40)})  # fmt: skip
    for k, how in enumerate(ways):
        image = zarr.open_group(folder / f"{k}.zarr", mode="w", zarr_format=3)
        image.attrs["ome"] = {"multiscales": scales, "version": "0.5"}
        made = image.create_array("0", shape=b.shape, chunks=(1, 20, 20), dtype=b.dtype, **how)
        made[:] = (b, c)[k % 2]


def build_cif(shared: Path, folder: Path) -> None:
    """Objects with masks, compressed and plain, in both orders of bytes."""
    images = [c.astype(np.int16)[:, : 30 + k] for k, c in enumerate(cells(shared, 5))]
    masks = [(i > np.median(i)).astype(np.uint8) for i in images]
    write_cif(folder / "a.cif", images, masks, ["BF", "PI", "SSC"], strips=3)
    write_cif(folder / "b.cif", images[:2], masks[:2], order=">", stored="plain")


def read_cif(folder: Path) -> tuple[int, int]:
    """Objects and their masks."""
    return read_catalog("cif", discovered("cif", folder, masks=True), "int16")


def build_czi(shared: Path, folder: Path) -> None:
    """Scenes of two tiles, in each way that tiles are compressed."""
    images = cells(shared, 2)
    blocks = [
        ({"X": 30 * m, "Y": 0, "C": c, "M": m, "S": s}, images[s][c])
        for s in range(2) for m in range(2) for c in range(2)
    ]  # fmt: skip
    xml = described({0: "A1", 1: "B2"}, ["BF", "PI"], 5e-7)
    for k in (RAW, JPEGXR, ZSTD, ZSTD_PACKED):
        write_czi(folder / f"{k}.czi", blocks, xml, k)


def build_hdf5(shared: Path, folder: Path) -> None:
    """Datasets of another program: contiguous, in chunks, compressed, and one after the other."""
    images = np.stack(cells(shared, 4))
    ways = ({}, {"chunks": (1, 1, 40, 40)}, {"compression": "gzip"}, {"compression": "lzf"})
    for k, how in enumerate(ways):
        with h5py.File(folder / f"{k}.h5", "w") as file:
            file.create_dataset("a/images", data=images, **how)


def build_ragged(shared: Path, folder: Path) -> None:
    """Pixels and shapes, plain and compressed."""
    images = [c[:, : 20 + k] for k, c in enumerate(cells(shared, 4))]
    for k, how in enumerate(({}, {"compression": "gzip", "chunks": (1000,)})):
        with h5py.File(folder / f"{k}.h5", "w") as file:
            file["shapes"] = [i.shape for i in images]
            file.create_dataset("pixels", data=np.concatenate([i.ravel() for i in images]), **how)


def build_packed(shared: Path, folder: Path) -> None:
    """Two shards, with metadata."""
    images = cells(shared, 6)
    for k in range(2):
        own = images[3 * k : 3 * k + 3]
        writer = ShardWriter(folder / f"s_{k}.h5", own[0].dtype)
        writer.add(ImageBatch.from_images(own))
        names = Texts.of([f"{k}/{i}.tif" for i in range(3)])
        drug = (np.array([0, 1, -1], np.int32), ["none", "some"])
        columns = Columns(
            names, group=(np.zeros(3, np.int32), ["all"]), metadata={"drug": drug},
            numbers={"dose": np.array([0.0, 1.5, np.nan])},
        )  # fmt: skip
        writer.finish(columns, Channels(names=["BF", "DNA", "SSC"]), 2)


def build_companions(shared: Path, folder: Path) -> None:
    """Images with a label image each."""
    for k, cell in enumerate(cells(shared, 3)):
        tifffile.imwrite(folder / f"{k}_image.tif", cell, photometric="minisblack")
        labels = (cell[0] > np.median(cell[0])).astype((np.uint8, np.uint16, np.float32)[k])
        tifffile.imwrite(folder / f"{k}_labels.tif", labels, compression=(None, "zlib", "lzw")[k])


def read_with_companions(folder: Path) -> tuple[int, int]:
    """Images and their label images."""
    catalog = discovered("multiframe_tiff", folder, regex="_image")
    rules = {"labels": (r"_image\.tif$", "_labels.tif")}
    return read_catalog("multiframe_tiff", companions.attach(catalog, rules), "uint16")


def build_plate(shared: Path, folder: Path) -> None:
    """Images of two wells, and what was in them."""
    for k, path in enumerate(cell_files(shared, 2)):
        shutil.copy(path, folder / f"well_A0{k + 1}.tiff")
    (folder / PLATE).write_text("well,drug,dose\nA1,DMSO,0\nA02,Taxol,1.5\n")


def read_plate(folder: Path) -> tuple[int, int]:
    """Images, joined to their plate's map."""
    catalog = discovered("multiframe_tiff", folder, regex=r"_(?P<well>[A-H]\d\d)\.tiff$")
    return read_catalog("multiframe_tiff", join_plate(catalog, str(folder / PLATE)), "uint16")


def build_spillover(_: Path, folder: Path) -> None:
    """A matrix of three channels."""
    (folder / "spill.csv").write_text(",BF,DNA,SSC\nBF,1,0.02,0\nDNA,0,1,0.1\nSSC,0.01,0,1\n")


def read_matrix(folder: Path) -> tuple[int, int]:
    """The matrix."""
    matrix = read_spillover(str(folder / "spill.csv"), ["BF", "DNA", "SSC"])
    assert matrix.shape == (3, 3)
    assert np.isfinite(matrix).all()
    return 1, 0


def build_config(text: str) -> Callable[[Path, Path], None]:
    """A config beside some cells."""

    def build(shared: Path, folder: Path) -> None:
        (folder / "images").mkdir()
        for path in cell_files(shared, 5):
            shutil.copy(path, folder / "images" / path.name)
        (folder / "scip.yml").write_text(text)

    return build


def damage_config(folder: Path, rng: np.random.Generator) -> str:
    """Change what the config says."""
    path = folder / "scip.yml"
    path.write_text(changed(path.read_text(), rng))
    return path.name


def read_config(folder: Path) -> tuple[int, int]:
    """The whole job; where a campaign goes on after a crash it was done before."""
    out = folder.with_name(f"{folder.name}_out")
    shutil.rmtree(out, ignore_errors=True)
    return run_config(folder / "scip.yml", folder / "images", out)


TARGETS = {
    "multiframe_tiff": Target(build_frames, lambda f: read_all("multiframe_tiff", f, "float32")),
    "tiff": Target(
        build_by_channel, lambda f: read_all("tiff", f, "uint16", regex=BY_CHANNEL)
    ),
    "image": Target(build_pictures, lambda f: read_all("image", f, "uint8")),
    "table": Target(build_table, lambda f: read_all("table", f, "uint16")),
    "zarr": Target(build_zarr, lambda f: read_all("zarr", f, "float32")),
    "ome_tiff": Target(build_ome_tiff, lambda f: read_all("ome_tiff", f, "uint16", z="each")),
    "ome_zarr": Target(build_ome_zarr, lambda f: read_all("ome_zarr", f, "uint16")),
    "cif": Target(build_cif, read_cif),
    "czi": Target(build_czi, lambda f: read_all("czi", f, "uint16")),
    "hdf5": Target(build_hdf5, lambda f: read_all("hdf5", f, "uint16", images="a/images")),
    "hdf5_ragged": Target(
        build_ragged, lambda f: read_all("hdf5", f, "uint16", images="pixels", shapes="shapes")
    ),
    "packed": Target(build_packed, lambda f: read_all("packed", f, "uint16")),
    "companions": Target(build_companions, read_with_companions),
    "plate_map": Target(build_plate, read_plate),
    "spillover": Target(build_spillover, read_matrix),
    "config_of_cells": Target(build_config(CELLS), read_config, damage_config),
    "config_of_fields": Target(build_config(FIELDS), read_config, damage_config),
}  # fmt: skip
