"""Writes a table's rows as a run does, from memory; says how long it took (see write.py).

python table_writer.py FILE SINK ROWS COLUMNS          alone or under mpiexec
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from scip_mpi.parallel.world import World, enter
from scip_mpi.results import writers

# Rows that a rank puts at once, as after a batch of cells.
BLOCK = 64
# Where X begins.
PAGE = 4096


def create(path: Path, rows: int, columns: int) -> dict[str, writers.DatasetLayout]:
    """A file of the table's size with places for X and a column of obs, as HDF5 reserves them."""
    layout = {
        "X": writers.DatasetLayout("X", PAGE, "<f4", (rows, columns)),
        "obs/failed": writers.DatasetLayout(
            "obs/failed", PAGE + rows * columns * 4, "|b1", (rows,)
        ),
    }
    path.touch()
    os.truncate(path, PAGE + rows * columns * 4 + rows)
    return layout


def fill(world: World, path: Path, sink: str, layout: dict[str, writers.DatasetLayout]) -> None:
    """All rows, blocks dealt to the ranks in turn, brought to the disk."""
    hand: writers.Sink
    if sink == "mpi":
        hand = writers.SharedFileSink(world.open_shared(str(path)))
    else:
        hand = writers.PosixSink(path)
    writer = writers.Writer(layout, hand)
    rows, columns = layout["X"].shape
    values = np.random.default_rng(world.rank).random((BLOCK, columns), np.float32)
    for start in range(BLOCK * world.rank, rows, BLOCK * world.size):
        block = values[: min(BLOCK, rows - start)]
        writer.put("X", start, block)
        writer.put("obs/failed", start, np.zeros(len(block), bool))
    writer.finalize()


def main() -> None:
    """Print bytes and seconds."""
    path, sink, rows, columns = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:5])
    world = enter()
    layout = world.bcast(create(path, rows, columns) if world.rank == 0 else None)
    world.barrier()
    began, cpu = time.perf_counter(), time.process_time()
    fill(world, path, sink, layout)
    world.barrier()
    told = {
        "bytes": rows * columns * 4,
        "seconds": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu,
    }
    if world.rank == 0:
        print(json.dumps(told))
    world.close()


if __name__ == "__main__":
    main()
