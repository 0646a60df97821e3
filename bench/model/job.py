"""A whole run: start-up, both passes, what lies between them and after them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bench.model.machine import Machine, collective
from bench.model.passes import Books, Runs, first_pass, second_pass
from bench.model.work import Work
from scip_mpi import items
from scip_mpi.batches import FloatArray, Int64Array
from scip_mpi.books import block_size
from scip_mpi.chunks import cut, shrinking
from scip_mpi.plan import CHUNK_BYTES, CHUNK_IMAGES, LEAST_PIXELS, SHARE
from scip_mpi.results.parquet import THREADS
from scip_mpi.rows import ITEM_PIXELS

# Ranks of a node; and the part of writing Parquet for which a thread holds Python's lock: on two
# cores two threads take 0.65 of the time of one.
NODE, LOCKED = 64, 0.3


@dataclass(frozen=True)
class Fixed:
    """Seconds that do not depend on the pixels.

    Attributes
    ----------
    python, kernels : float
        Start of a process until it is the program, and kernels from their cache.
    mpi, mpi_doubling : float
        MPI's own start, and what every doubling of the ranks adds. Not measurable on one machine.
    list_image, plan_chunk : float
        Rank 0 lists an image of a shard and makes the plan for it, and for a chunk.
    number_chunk, number_own : float
        Between the passes: rank 0's time for each chunk of the run, a rank's for each of its own.
    create : float
        Creating the table.
    clerk_image, clerk_first : float
        The clerk's time for an image, and what its first block takes beyond.
    tell_image, told_image : float
        A rank's time to tell of an image, and the bytes.
    finish, finish_rank : float
        Publishing, and for each rank's account.
    """

    python: float = 0.6
    kernels: float = 0.3
    mpi: float = 0.3
    mpi_doubling: float = 0.1
    list_image: float = 0.15e-6
    plan_chunk: float = 1e-6
    number_chunk: float = 1.5e-6
    number_own: float = 30e-6
    create: float = 0.04
    clerk_image: float = 0.8e-6
    clerk_first: float = 0.04
    tell_image: float = 0.36e-6
    told_image: float = 350.0
    finish: float = 0.03
    finish_rank: float = 30e-6


@dataclass(frozen=True)
class Prediction:
    """Seconds of a run's parts, each until the last rank is through.

    ``alone`` is one rank's time for the same work, after its start-up and with it.
    """

    ranks: int
    images: int
    chunks: int
    startup: float
    first: float
    between: float
    second: float
    finish: float
    parquet: float
    alone: float
    alone_startup: float
    manager_first: float
    manager_second: float
    moved: int
    clerk: float

    @property
    def after(self) -> float:
        """Seconds after start-up, without Parquet."""
        return self.first + self.between + self.second + self.finish

    @property
    def efficiency(self) -> float:
        """Of the time after start-up, against one rank."""
        return self.alone / (self.ranks * self.after)

    @property
    def efficiency_with_startup(self) -> float:
        """Of the whole time, against the work of one rank and its start-up."""
        return (self.alone + self.alone_startup) / (self.ranks * (self.after + self.startup))


def parquet_share(ranks: int) -> float:
    """Part of one thread's time for Parquet that as many take as rank 0's node has ranks."""
    threads = min(ranks, NODE, THREADS)
    return LOCKED + (1 - LOCKED) / threads


def chunk_sizes(images: int, ranks: int, pixels: int) -> Int64Array:
    """Images of the chunks that like images are cut into (`scip_mpi.plan.chunk_bounds`)."""
    most = max(1, min(CHUNK_IMAGES, CHUNK_BYTES // (2 * pixels)))
    least = min(max(1, LEAST_PIXELS // pixels), most)
    share = SHARE * ranks
    # Chunks shrink when less than this is left; until then all are of the largest size.
    whole = max(images // most - share, 0)
    left = np.full(images - whole * most, pixels, np.int64)
    tail = np.diff(shrinking(left, share, least * pixels, most * pixels))
    return np.concatenate([np.full(whole, most, np.int64), tail])


def startup(fixed: Fixed, machine: Machine, ranks: int, images: int, chunks: int) -> float:
    """Seconds until all ranks have the plan and the kernels."""
    mpi = 0.0 if ranks == 1 else fixed.mpi + fixed.mpi_doubling * (ranks - 1).bit_length()
    plan = fixed.list_image * images + fixed.plan_chunk * chunks
    # The plan's bounds and costs go to all; a barrier ends the compilation.
    shared = collective(ranks, 2 * chunks, machine) + 2 * collective(ranks, 1, machine)
    return fixed.python + mpi + plan + shared + fixed.kernels


def rows_of_a_run(rows: float, pixels: float) -> int:
    """Rows of a run where a rank has so many rows of so many pixels (`scip_mpi.items`)."""
    size = min(max(rows * pixels / items.RUNS, items.LEAST_PIXELS), ITEM_PIXELS)
    return max(round(size / pixels), 1)


def cut_runs(counts: Int64Array, most: int) -> Int64Array:
    """Rows of the runs that chunks of so many rows are cut into."""
    whole, rest = np.divmod(counts, most)
    per_chunk = np.column_stack([np.full(len(counts), most), rest])
    repeats = np.column_stack([whole, rest > 0])
    return np.repeat(per_chunk.ravel(), repeats.ravel())


def predict(
    machine: Machine,
    fixed: Fixed,
    work: Work,
    ranks: int,
    sizes: Int64Array,
    pixels: int,
    crop: float | None = None,
    seed: int = 0,
) -> Prediction:
    """Simulate a run.

    Parameters
    ----------
    machine, fixed, work
        What messages, the fixed parts, and images and rows cost.
    ranks : int
    sizes : ndarray of int64
        Images of each chunk, in the order in which they are handed out; a row per image.
    pixels : int
        Pixels of an image, all channels.
    crop : float, optional
        Pixels of an object's crop, all channels; by default the whole image's.
    seed : int
        Of the draws of costs.
    """
    rng = np.random.default_rng(seed)
    images, chunks = int(sizes.sum()), len(sizes)
    costs = work.images.draw(sizes, rng)
    one = first_pass(machine, [0.0] * ranks, costs.tolist(), sizes.tolist())
    first = float(one.ends.max())

    crop = pixels if crop is None else crop
    most = rows_of_a_run(images / ranks, crop)
    held = _held(one.holder, ranks)
    own, total = [], 0.0
    for mine in map(np.sort, held):
        rows = cut_runs(sizes[mine], most)
        drawn: FloatArray = work.rows.draw(rows, rng)
        total += float(drawn.sum())
        of = np.repeat(mine, -(-sizes[mine] // most))
        own.append(Runs(drawn.tolist(), rows.tolist(), of.tolist()))
    # Each rank numbers its own rows, all add them up, rank 0 opens its office and the table.
    between = fixed.number_own * max(len(mine) for mine in held)
    between += collective(ranks, chunks + 1, machine) + collective(ranks, 1, machine)
    between += fixed.number_chunk * chunks + fixed.create
    books = books_of(fixed, sizes, one.holder)
    row_bytes = 2.0 * crop * 1.1
    two = second_pass(machine, [0.0] * ranks, own, row_bytes, 3e-10 * row_bytes, books)
    second = float(two.ends.max())
    finish = fixed.finish + fixed.finish_rank * ranks + 3 * collective(ranks, 1 << 13, machine)

    clerk = sum(books.costs)
    serial = fixed.number_own * chunks + fixed.number_chunk * chunks + fixed.create + clerk
    served = chunks * (machine.assign + 2 * machine.report) + images * machine.assign_image
    alone = float(costs.sum()) + total + serial + served + fixed.finish + fixed.finish_rank
    return Prediction(
        ranks=ranks,
        images=images,
        chunks=chunks,
        startup=startup(fixed, machine, ranks, images, chunks),
        first=first,
        between=between,
        second=second,
        finish=finish,
        parquet=work.parquet * images * parquet_share(ranks),
        alone=alone,
        alone_startup=startup(fixed, machine, 1, images, chunks),
        manager_first=one.manager,
        manager_second=two.manager,
        moved=two.moved,
        clerk=clerk,
    )


def books_of(fixed: Fixed, sizes: Int64Array, holder: Int64Array) -> Books:
    """The clerk's blocks: who is asked for each, and what each costs (`scip_mpi.books`)."""
    bounds = cut(2 * sizes, block_size(2 * int(sizes.sum())))
    holders = [np.unique(holder[a:b]).tolist() for a, b in pairwise(bounds.tolist())]
    images = np.add.reduceat(sizes, bounds[:-1])
    costs = fixed.clerk_image * images
    costs[0] += fixed.clerk_first
    each = images / [len(asked) for asked in holders]
    return Books(
        holders, costs.tolist(), (fixed.told_image * each).tolist(),
        (fixed.tell_image * each).tolist(),
    )  # fmt: skip


def _held(holder: Int64Array, ranks: int) -> list[Int64Array]:
    # The chunks of each rank, in order.
    order = np.argsort(holder, kind="stable")
    return np.split(order, np.cumsum(np.bincount(holder, minlength=ranks))[:-1])
