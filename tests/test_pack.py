"""pack: the table of the shards is that of the files, and no image is lost silently."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from cells import CONFIG, copy_cells, jurkat_files, write_config
from launch import scip
from pictures import write_tiff
from tables import digest, obs_names, read_x

from scip_mpi.config import read_config
from scip_mpi.errors import DONE, FAILED, SOME_FAILED, UserError
from scip_mpi.job import Request as RunRequest
from scip_mpi.loaders import multiframe_tiff, packed
from scip_mpi.pack import Request, bounds, pack, shard_names
from scip_mpi.parallel.world import Alone
from scip_mpi.run import run

U2 = np.dtype(np.uint16)


def packing(*inputs: Path | str, out: Path, size: int = 1 << 30, **options: bool) -> int:
    return pack(Alone(), Request([str(i) for i in inputs], out, size, quiet=True, **options))


def table(config: Path, *paths: Path, out: Path) -> dict[str, str]:
    request = RunRequest(config, [str(p) for p in paths], out, quiet=True)
    assert run(Alone(), request) == DONE
    return digest(out)


@pytest.fixture(scope="module")
def cells(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_cells(jurkat_files(shared_dir, 40), tmp_path_factory.mktemp("cells") / "images")


def test_the_table_of_the_shards_is_that_of_the_files(cells, tmp_path):
    text = CONFIG.replace(
        "  channels: [0, 1, 2]",
        "  kwargs: {regex: '(?P<group>[^/]+)/[^/]*_CP(?P<cell>\\d+)'}\n  channels: [0, 2, 1]",
    )
    config = write_config(tmp_path / "scip.yml", text=text)
    assert packing(config, cells, out=tmp_path / "s" / "x.h5", size=100_000) == DONE
    shards = sorted((tmp_path / "s").iterdir())
    assert [p.name for p in shards] == [f"x_{k:05d}.h5" for k in range(len(shards))]
    assert len(shards) > 3
    files = table(config, cells, out=tmp_path / "files")
    # The same config, and one that only says where the images are.
    assert table(config, *shards, out=tmp_path / "shards") == files
    short = yaml.safe_load(text)
    short["load"] = {"format": "packed", "paths": [str(tmp_path / "s")]}
    # The names travel with the images.
    other = write_config(tmp_path / "other.yml", text=yaml.safe_dump(short))
    assert table(other, out=tmp_path / "folder") == files


@pytest.mark.mpi
def test_any_number_of_ranks_writes_the_same_shards(cells, tmp_path):
    for name, ranks in (("one", None), ("three", 3)):
        out = tmp_path / name / "x.h5"
        done = scip("pack", cells, "-o", out, "--shard-size", "100k", ranks=ranks)
        assert done.returncode == 0, done.stderr
    one, three = (sorted((tmp_path / n).iterdir()) for n in ("one", "three"))
    assert [p.name for p in one] == [p.name for p in three]
    assert len(one) > 3
    for a, b in zip(one, three, strict=True):
        assert a.read_bytes() == b.read_bytes()


def test_without_a_config_all_pages_of_tiffs(cells, tmp_path):
    assert packing(cells, out=tmp_path / "x.h5") == DONE
    assert [p.name for p in tmp_path.iterdir()] == ["x.h5"]
    files = multiframe_tiff.discover([str(cells)])
    shards = packed.discover([str(tmp_path)])
    assert shards.names == files.names
    assert shards.groups == files.groups
    np.testing.assert_array_equal(shards.group, files.group)
    batch, failures = packed.read(shards.references(0, 40), None, U2)
    assert not failures
    for i, path in enumerate(files.files):
        np.testing.assert_array_equal(batch.image(i), tifffile.imread(path))
    # Packed again, in other shards.
    assert packing(tmp_path / "x.h5", out=tmp_path / "again" / "y.h5", size=100_000) == DONE
    again = packed.discover([str(tmp_path / "again")])
    assert len(again.files) > 3
    assert again.names == files.names


def test_images_that_cannot_be_read_are_listed_and_the_others_are_there(cells, tmp_path):
    images = shutil.copytree(cells, tmp_path / "images")
    broken = sorted(images.glob("*/*.tif*"))
    broken[3].write_bytes(b"")
    write_tiff(broken[20], np.zeros((5, 8, 8), np.uint16))
    config = write_config(tmp_path / "scip.yml")
    shards = tmp_path / "x.h5"
    assert packing(config, images, out=shards) == DONE
    with open(tmp_path / "x_failures.csv") as stream:
        rows = list(csv.DictReader(stream))
    names = [str(broken[i].relative_to(images)) for i in (3, 20)]
    assert [r["image"] for r in rows] == names
    assert "is empty" in rows[0]["error"]
    assert "has 5 channels, the first image has 3" in rows[1]["error"]
    # What the files' table has of the others, the shards' has.
    table(config, images, out=tmp_path / "files")
    table(config, shards, out=tmp_path / "shards")
    np.testing.assert_array_equal(read_x(tmp_path / "files"), read_x(tmp_path / "shards"))
    assert len(obs_names(tmp_path / "shards")) == 38
    assert packing(config, images, out=shards, overwrite=True, strict=True) == SOME_FAILED
    for i in (3, 20):
        broken[i].unlink()
    assert packing(config, images, out=shards, overwrite=True, strict=True) == DONE
    assert not (tmp_path / "x_failures.csv").exists()


def test_nothing_readable(tmp_path, capsys):
    for name in "ab":
        (tmp_path / f"{name}.tif").write_bytes(b"")
    assert packing(tmp_path, out=tmp_path / "x.h5") == FAILED
    assert "none of 2 images could be read" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "b.tif", "x_failures.csv"]


def test_channels_keep_the_names_and_numbers_that_the_config_knows(tmp_path):
    for i in range(3):
        for c in (2, 3, 5):
            write_tiff(tmp_path / "in" / f"{i}_{c}.tif", np.full((6, 7), 10 * i + c, np.uint8))
    load = {
        "format": "tiff",
        "kwargs": {"regex": r"(?P<id>\d)_(?P<channel>\d)\.tif$"},
        "channels": [5, 2],
    }
    config = write_config(
        tmp_path / "c.yml", text=yaml.safe_dump({"load": load, "feature_extraction": ["raw"]})
    )
    assert packing(config, tmp_path / "in", out=tmp_path / "x.h5") == DONE
    catalog = packed.discover([str(tmp_path / "x.h5")])
    assert (catalog.channels, catalog.channel_names) == ([5, 2], None)
    batch, _ = packed.read(catalog.references(0, 3), None, np.dtype(np.uint8))
    assert batch.image(1)[:, 0, 0].tolist() == [15, 12]
    files = table(config, tmp_path / "in", out=tmp_path / "files")
    assert table(config, tmp_path / "x.h5", out=tmp_path / "shards") == files


def test_a_plate_map_is_joined_once(tmp_path):
    for well in ("A1", "B2"):
        write_tiff(tmp_path / "in" / f"{well}.tif", np.arange(42, dtype=np.uint8).reshape(6, 7))
    (tmp_path / "map.csv").write_text("well,drug\nA01,none\nB02,taxol\n")
    load = {
        "format": "multiframe_tiff",
        "kwargs": {"regex": r"(?P<well>[A-H]\d)\.tif$"},
        "plate_map": str(tmp_path / "map.csv"),
    }
    config = write_config(
        tmp_path / "c.yml", text=yaml.safe_dump({"load": load, "feature_extraction": ["raw"]})
    )
    assert packing(config, tmp_path / "in", out=tmp_path / "x.h5") == DONE
    files = table(config, tmp_path / "in", out=tmp_path / "files")
    assert table(config, tmp_path / "x.h5", out=tmp_path / "shards") == files


def test_companions_go_into_the_shards(tmp_path):
    rng = np.random.default_rng(0)
    for k, name in enumerate("abcd"):
        write_tiff(tmp_path / "in" / f"{name}.tif", rng.integers(0, 99, (9 + k, 12), np.uint8))
        labels = np.zeros((9 + k, 12), np.uint16)
        labels[1:4, 1:5], labels[5:8, 6:11] = 1, 7
        write_tiff(tmp_path / "labels" / f"{name}.tif", labels)
    # One that does not fit its image, so that it fails there as here.
    write_tiff(tmp_path / "labels" / "c.tif", np.zeros((2, 2), np.uint8))
    config = write_config(
        tmp_path / "c.yml",
        text="load:\n  format: image\n"
        "  companions: {labels: {match: /in/, replace: /labels/}}\n"
        "segment: {method: labels, settings: {companion: labels}}\n"
        "feature_extraction: [shape, intensity]\n",
    )
    assert packing(config, tmp_path / "in", out=tmp_path / "s" / "x.h5", size=250) == DONE
    shards = sorted((tmp_path / "s").glob("*.h5"))
    assert len(shards) > 1
    listed = (tmp_path / "s" / "x_failures.csv").read_text()
    assert "(companion labels) is 2 x 2 pixels, its image is 11 x 12" in listed
    files = table(config, tmp_path / "in", out=tmp_path / "files")
    packed_ = table(config, *shards, out=tmp_path / "shards")
    assert files["X"] == packed_["X"]
    assert files["obs/object"] == packed_["obs/object"]
    assert len(obs_names(tmp_path / "files")) == 6
    (tmp_path / "labels" / "a.tif").unlink()
    assert table(config, *shards, out=tmp_path / "again") == packed_


def test_what_is_refused_before_any_work(cells, tmp_path):
    def refused(message: str, *inputs: Path, out: Path, **options: bool) -> None:
        with pytest.raises(UserError, match=message):
            packing(*inputs, out=out, **options)

    refused("call it x.h5", cells, out=tmp_path / "x")
    (tmp_path / "x_00003.h5").write_text("mine")
    refused("x_00003.h5 is there already", cells, out=tmp_path / "x.h5")
    refused("x_00003.h5 .*: it is not overwritten", cells, out=tmp_path / "x.h5", overwrite=True)
    assert (tmp_path / "x_00003.h5").read_text() == "mine"
    refused("cannot read .*gone", tmp_path / "gone", out=tmp_path / "y.h5")
    refused("cannot write to", cells, out=tmp_path / "x_00003.h5" / "y.h5")
    refused("no images were named", out=tmp_path / "y.h5")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x_00003.h5"]


def test_fewer_shards_replace_more(cells, tmp_path):
    assert packing(cells, out=tmp_path / "x.h5", size=100_000) == DONE
    (tmp_path / "x_other.h5").write_text("mine")
    assert packing(cells, out=tmp_path / "x.h5", overwrite=True) == DONE
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.h5", "x_other.h5"]


def test_shards_are_cut_by_what_pixels_take(cells, tmp_path):
    config = write_config(tmp_path / "scip.yml")
    catalog = multiframe_tiff.discover([str(cells)])
    sample = multiframe_tiff.probe(catalog.references(0, 1).sources[0], 0)
    shards, batches = bounds(catalog, sample, 3, U2, 60_000)
    assert shards[0] == batches[0] == 0
    assert shards[-1] == batches[-1] == 40
    assert set(shards) <= set(batches)
    assert len(shards) > 3
    assert read_config(config).load.format == "multiframe_tiff"


def test_names_sort_as_their_numbers_do():
    assert shard_names(Path("a/x.h5"), 1) == [Path("a/x.h5")]
    names = shard_names(Path("a/x.h5"), 100_001)
    assert names[7] == Path("a/x_000007.h5")
    assert sorted(map(str, names)) == list(map(str, names))


@pytest.mark.parametrize(
    ("given", "message"), [("0", "is no size"), ("1X", "is no size"), ("", "is no size")]
)
def test_sizes(tmp_path, given, message):
    done = scip("pack", tmp_path, "-o", tmp_path / "x.h5", "--shard-size", given)
    assert done.returncode == 2
    assert message in done.stderr
