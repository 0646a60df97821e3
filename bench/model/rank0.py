"""What rank 0 does by itself for each image: ``python -m bench.model.rank0 CONFIG FOLDER``.

Prints CSV lines ``what,seconds``: CPU time for an image of packed ones to be listed and planned
for, and for the clerk to enter it in the tables, as many ranks tell of it. The images are made up:
shards in FOLDER whose images share their pixels, and measurements that are random.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scip_mpi.batches import ImageBatch, Int64Array, UInt8Array
from scip_mpi.books import Books
from scip_mpi.config import Config, read_config
from scip_mpi.holdings import Survivors
from scip_mpi.loaders.contract import Catalog
from scip_mpi.loaders.numerals import spelled
from scip_mpi.loaders.shard import Channels, Columns
from scip_mpi.loaders.shard_writer import ShardWriter
from scip_mpi.measurements import Measured
from scip_mpi.parallel.roles import Sight
from scip_mpi.plan import Plan, find_images, make_plan, suited
from scip_mpi.results import h5ad
from scip_mpi.results.folder import PRIVATE
from scip_mpi.tallies import Tally

SHARDS, EACH = 4, 250_000
GROUPS = 100
SHAPE = (12, 64, 64)
# Ranks that the plan is made for, and that tell the clerk.
RANKS = 1024
REPEATS = 3
# Blocks that the clerk enters: the first loads the libraries.
BLOCKS = 8


def made_up_shard(path: Path, first: int) -> None:
    """A shard of `EACH` images whose pixels are those of one, and names as `simulate` gives."""
    pixels = np.random.default_rng(0).integers(0, 4096, SHAPE).astype(np.uint16)
    writer = ShardWriter(path, pixels.dtype)
    shapes = np.array([SHAPE], np.int64)
    ends = np.array([0, pixels.size], np.int64)
    writer.add(ImageBatch(pixels.reshape(-1), ends, shapes, np.zeros(1, np.int64)))
    image = np.arange(first, first + EACH)
    group = image * GROUPS // (SHARDS * EACH)
    names = spelled("sample_", group + 100, "/cell_", image + 10**8, ".tiff")
    known = (group.astype(np.int32), [f"sample_{g + 100}" for g in range(GROUPS)])
    where = np.zeros(EACH, np.int64), np.tile(shapes, (EACH, 1))
    writer.finish(Columns(names, known), Channels(), SHARDS, where)


def cpu(work: Callable[[], Any]) -> tuple[Any, float]:
    """What some work gives, and its CPU seconds."""
    started = time.process_time()
    made = work()
    return made, time.process_time() - started


def listed(config: Config, paths: list[str]) -> Iterator[tuple[Catalog, Plan, float, float]]:
    """The catalog and the plan, and what each took, several times."""
    for _ in range(REPEATS):
        catalog, one = cpu(lambda: find_images(config, paths))
        plan, other = cpu(lambda c=catalog: make_plan(config, c, [Sight("here")] * RANKS))
        yield catalog, plan, one / len(catalog), other / len(catalog)


def told(books: Books, block: int) -> list[UInt8Array]:
    """What all ranks tell of a block: chunks are dealt out in turn, an object in every image."""
    bounds, rng = books.plan.bounds, np.random.default_rng(block)
    chunks = np.arange(*books.blocks[block : block + 2])
    bodies = []
    for rank in range(min(RANKS, len(chunks))):
        own = [np.arange(bounds[k], bounds[k + 1]) for k in chunks[rank::RANKS]]
        image = np.concatenate(own)
        bodies.append(np.frombuffer(made_up(image, books.plan, rng).to_message(), np.uint8))
    return bodies


def made_up(image: Int64Array, plan: Plan, rng: np.random.Generator) -> Tally:
    """A rank's tally of some images."""
    one = np.ones(len(image), np.int64)
    measured = rng.random((3 * len(plan.channel_names), len(image))).view(np.int64)
    measured[: len(plan.channel_names)] = 0  # nothing is saturated
    return Tally(
        np.vstack([image, one, one, measured]),
        np.vstack([image, one, one, rng.random((2, len(image))).view(np.int64)]),
        np.empty((2, 0), np.int64),
        [],
    )


def entered(plan: Plan, catalog: Catalog, out: Path) -> list[tuple[int, float]]:
    """Images of some blocks, and what it took the clerk to enter each."""
    survivors = Survivors({}, {}, {}, plan.bounds, plan.bounds, len(catalog), {}, None)
    table, nothing = out / "table.h5ad", list[Measured]()
    (out / PRIVATE).mkdir(exist_ok=True)
    groups = {"image": len(catalog), "group": catalog.groups}
    h5ad.create_table(
        table,
        h5ad.TableSpec(len(catalog), groups, {"object": np.int64}, {}, ["a"], {}, {}),
    )
    books = Books(replace(plan, statistics=nothing), catalog, survivors, out, table)
    found = []
    for block in range(min(BLOCKS, len(books.blocks) - 1)):
        bodies = told(books, block)
        _, seconds = cpu(lambda b=block, t=bodies: books.write(b, t))
        found.append((int(np.diff(plan.bounds[books.blocks[block : block + 2]])[0]), seconds))
    books.close()
    return found


def main() -> None:
    """Measure and print."""
    folder = Path(sys.argv[2])
    for k in range(SHARDS):
        path = folder / f"made_up_{k}.h5"
        if not path.exists():
            made_up_shard(path, k * EACH)
    paths = [str(folder / f"made_up_{k}.h5") for k in range(SHARDS)]
    config = suited(read_config(Path(sys.argv[1])), paths)
    rounds = list(listed(config, paths))
    catalog, plan, *_ = rounds[-1]
    listing, planning = min(r[2] for r in rounds), min(r[3] for r in rounds)
    blocks = entered(plan, catalog, folder)
    first, *rest = (seconds for _, seconds in blocks)
    # Other programs on the machine can only add to it.
    each = min(s / n for (n, _), s in zip(blocks[1:], rest, strict=True))
    print("what,seconds")
    print(f"image listed,{listing:.3e}")
    print(f"image planned,{planning:.3e}")
    print(f"image entered,{each:.3e}")
    print(f"first block beyond,{max(first - each * blocks[0][0], 0):.3e}")


if __name__ == "__main__":
    main()
