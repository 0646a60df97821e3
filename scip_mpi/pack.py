"""Many small files into few large shards, on any number of ranks: the same files from any of them.

files --> read, a batch at a time --> shards, each written by one rank
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from scip_mpi import disk, registry
from scip_mpi.batches import ImageBatch, Int64Array
from scip_mpi.chunks import cut
from scip_mpi.config import Config, parse_config, read_config, resolve_channels
from scip_mpi.errors import DONE, FAILED, SOME_FAILED, UserError
from scip_mpi.job import agree
from scip_mpi.loaders import packed
from scip_mpi.loaders.companions import read_companions
from scip_mpi.loaders.contract import Catalog, ImageInfo, References
from scip_mpi.loaders.gather import ImageError
from scip_mpi.loaders.listing import shown
from scip_mpi.loaders.shard import Channels, Columns, used
from scip_mpi.loaders.shard_reader import open_hdf5, read_index
from scip_mpi.loaders.shard_writer import ShardWriter
from scip_mpi.loaders.texts import Texts
from scip_mpi.parallel.deal import Step, deal
from scip_mpi.parallel.guard import abort_guard
from scip_mpi.parallel.world import World, enter
from scip_mpi.plan import find_images, probe_sample, run_dtype, suited
from scip_mpi.progress import Progress, Silent, open_progress
from scip_mpi.results import tables
from scip_mpi.run import conclude, only_here

# Pixels that are read at once.
BATCH_BYTES = 16 << 20
CONFIGS = (".yml", ".yaml")
PLAIN = "{load: {format: multiframe_tiff}, feature_extraction: [shape]}"


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line; ``inputs`` are a config, or none, and PATHs."""

    inputs: Sequence[str]
    out: Path
    shard_size: int = 1 << 30
    overwrite: bool = False
    strict: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class Order:
    """What all ranks know.

    Attributes
    ----------
    format : str
        The loader.
    places : list of int
        Channels that are read.
    of : int
        Channels that every image must have.
    dtype : str
        Pixel type.
    channels : Channels
        What the channels read, and the pictures beside them, are called.
    files : list of Path
        The shards.
    images : int
    """

    format: str
    places: list[int]
    of: int
    dtype: str
    channels: Channels
    files: list[Path]
    images: int


@dataclass(frozen=True)
class Piece:
    """The images of one shard, and where the batches that are read at once begin and end."""

    number: int
    references: References
    columns: Columns
    batches: Int64Array


@dataclass
class Packed:
    """What a rank has done: images packed, and (index, id, stage, error) of those that failed."""

    images: int = 0
    failures: list[tuple[int, str, str, str]] = field(default_factory=list)


def start(request: Request) -> int:
    """Enter the world that mpiexec or srun made, if any, and pack in it under the abort guard."""
    world = enter()
    with abort_guard(world):
        return conclude(world, lambda _: pack(world, request))


def pack(world: World, request: Request) -> int:
    """Pack on all ranks of a world; returns the exit code that all of them agree on.

    Raises
    ------
    UserError
        On every rank, before any work: the config, the images or FILE need mending.
    """
    progress = open_progress(request.quiet) if world.rank == 0 else Silent()
    known: dict[str, tuple[Catalog, Int64Array, Int64Array]] = {}

    def prepare() -> Order:
        config, paths = chosen(request.inputs)
        refuse_existing(request.out, request.overwrite)
        catalog = find_images(config, paths)
        order, shards, batches = make_order(config, catalog, request)
        known["all"] = catalog, shards, batches
        make_folder(request.out.parent)
        return order

    order = agree(world, prepare)
    own = Packed()

    def describe(number: int) -> Piece:
        return piece_of(*known["all"], number)

    def work(piece: Piece, step: Step) -> None:
        write_shard(order, piece, own, step)

    try:
        progress.start("pack", order.images, "images")
        with only_here(world):
            deal(world, len(order.files), describe, work, progress.advance)
        progress.finish()
        told = world.gather(own)
        return agree(world, lambda: publish(request, order, told or [], progress))
    finally:
        progress.close()


def chosen(inputs: Sequence[str]) -> tuple[Config, list[str]]:
    """The config and the PATHs: the first input is a config if it is called like one."""
    if inputs and inputs[0].lower().endswith(CONFIGS):
        config, paths = read_config(inputs[0]), list(inputs[1:])
    else:
        config, paths = parse_config(PLAIN, "no config"), list(inputs)
    return suited(config, paths), paths


def earlier(out: Path) -> list[Path]:
    """Shards that an earlier packing into the same name left."""
    pattern = re.compile(re.escape(out.stem) + r"(_\d{5,})?\.h5")
    found = [p for p in out.parent.iterdir() if pattern.fullmatch(p.name)]
    return sorted(found)


def refuse_existing(out: Path, overwrite: bool) -> None:
    """Raise if FILE is no name for shards, or if something is there that must not be replaced."""
    if out.suffix.lower() != packed.SUFFIX:
        raise UserError(f"-o {out}: shards are HDF5 files; call it {out.name}.h5")
    found = earlier(out) if out.parent.is_dir() else []
    if found and not overwrite:
        raise UserError(f"{found[0]} is there already: give another name, or --overwrite")
    for path in found:
        try:
            with open_hdf5(str(path)) as file:
                read_index(file)
        except ImageError as error:
            raise UserError(f"{path} {error}: it is not overwritten; move it away") from None


def make_folder(folder: Path) -> None:
    """Make the folder for the shards; `UserError` if they cannot be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise UserError(f"cannot write to {folder}: Permission denied")


def make_order(
    config: Config, catalog: Catalog, request: Request
) -> tuple[Order, Int64Array, Int64Array]:
    """Decide all that can be decided without pixels; bounds of shards and of batches beside it.

    Raises
    ------
    UserError
        The config does not fit the images.
    """
    sample = probe_sample(config, catalog)
    if sample is None:
        # Every image will end among the failures; only some shape to go by is needed.
        wanted = config.load.channels or [0]
        sample = ImageInfo((max(wanted) + 1, 64, 64), np.dtype(np.uint16))
    numbers, names = catalog.channels, catalog.channel_names
    places, called = resolve_channels(config, sample.shape[0], numbers, names)
    numbered = list(config.load.channels or numbers or range(sample.shape[0]))
    named = config.load.channel_names is not None or names is not None
    dtype = np.dtype(config.load.dtype or run_dtype(sample.dtype))
    shards, batches = bounds(catalog, sample, len(places), dtype, request.shard_size)
    return (
        Order(
            format=config.load.format,
            places=places,
            of=sample.shape[0],
            dtype=dtype.name,
            channels=Channels(numbered, called if named else None, catalog.companions),
            files=shard_names(request.out, len(shards) - 1),
            images=len(catalog),
        ),
        shards,
        batches,
    )


def bounds(
    catalog: Catalog, sample: ImageInfo, channels: int, dtype: np.dtype[np.generic], target: int
) -> tuple[Int64Array, Int64Array]:
    """Bounds of the shards and of the batches, by what the images' pixels are thought to take.

    Of what can only be read whole, nothing is shared out over two.
    """
    costs = catalog.costs()
    if catalog.nbytes is not None:
        whole = sample.shape[0] * sample.dtype.itemsize
        ratio = channels * dtype.itemsize / whole
    else:
        pixels = channels * sample.shape[1] * sample.shape[2] * dtype.itemsize
        ratio = pixels / float(np.median(costs))
    starts = np.flatnonzero(np.diff(catalog.unit, prepend=-1))
    each = np.maximum(np.add.reduceat(costs, starts) * ratio, 1).astype(np.int64)
    edges = np.append(starts, len(catalog))
    shards = cut(each, max(target, 1))
    batches = np.union1d(shards, cut(each, BATCH_BYTES))
    return edges[shards], edges[batches]


def shard_names(out: Path, count: int) -> list[Path]:
    """FILE.h5, or FILE_00000.h5 and so on, in an order that is also that of their names."""
    if count == 1:
        return [out]
    digits = max(5, len(str(count - 1)))
    return [out.with_name(f"{out.stem}_{k:0{digits}d}{out.suffix}") for k in range(count)]


def piece_of(catalog: Catalog, shards: Int64Array, batches: Int64Array, number: int) -> Piece:
    """What the rank that writes a shard must know."""
    lo, hi = int(shards[number]), int(shards[number + 1])
    rows = np.arange(lo, hi)
    columns = Columns(
        Texts.of(catalog.image_names(rows)),
        used((catalog.group, catalog.groups), rows),
        {name: used(column, rows) for name, column in catalog.metadata.items()},
        {name: values[lo:hi] for name, values in catalog.numbers.items()},
    )
    first, last = np.searchsorted(batches, [lo, hi])
    return Piece(number, catalog.references(lo, hi), columns, batches[first : last + 1] - lo)


def write_shard(order: Order, piece: Piece, own: Packed, step: Step) -> None:
    """Read the images of a shard and write them, under a name that says it is not finished."""
    loader = registry.find("loaders", order.format)
    dtype = np.dtype(order.dtype)
    writer = ShardWriter(partial(order.files[piece.number]), dtype)
    first = int(piece.references.index[0])
    kept: list[Int64Array] = []
    for lo, hi in zip(piece.batches[:-1], piece.batches[1:], strict=True):
        part = piece.references.take(np.arange(lo, hi))
        batch, failures = loader.read(part, order.places, dtype, of=order.of)
        companions: dict[str, ImageBatch] = {}
        if order.channels.companions:
            batch, companions, lacking = read_companions(part, batch, order.channels.companions)
            failures += lacking
        writer.add(batch, companions)
        kept.append(batch.index - first)
        names = piece.columns.names
        own.failures += [(f.index, names[f.index - first], f.stage, f.error) for f in failures]
        own.images += len(batch)
        step(int(hi - lo), len(failures))
    writer.finish(piece.columns.take(np.concatenate(kept)), order.channels, len(order.files))


def partial(path: Path) -> Path:
    """What a shard is called until all are finished."""
    return path.with_name(path.name + ".partial")


def publish(request: Request, order: Order, told: Sequence[Packed], progress: Progress) -> int:
    """Give the shards their names, now that all are written; the exit code."""
    failures = sorted(f for own in told for f in own.failures)
    listed = request.out.with_name(f"{request.out.stem}_failures.csv")
    listed.unlink(missing_ok=True)
    if failures:
        tables.write_failures(listed, [f[1:] for f in failures])
    images = sum(own.images for own in told)
    if not images:
        for path in order.files:
            partial(path).unlink()
        sys.stderr.write(
            f"scip_mpi: none of {order.images:,} images could be read, see {shown(str(listed))}. "
            f"The first: {failures[0][3]}\n"
        )
        return FAILED
    for path in set(earlier(request.out)) - set(order.files):
        path.unlink()
    for path in order.files:
        disk.replace(partial(path), path)
    named = str(order.files[0]) + (f" to {order.files[-1].name}" if len(order.files) > 1 else "")
    progress.say(f"packed: {images:,} images in {len(order.files):,} shard(s), {named}")
    if failures:
        progress.say(f"{len(failures):,} failed: {listed}")
    return SOME_FAILED if failures and request.strict else DONE
