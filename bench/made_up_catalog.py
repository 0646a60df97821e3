"""A catalog of made-up images and the plan that rank 0 makes of it: prints what they take.

    python made_up_catalog.py ENTRIES CONFIG IMAGE

IMAGE stands for the first, which the plan looks into.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import harness
import numpy as np

from scip_mpi.config import read_config
from scip_mpi.loaders.contract import Catalog
from scip_mpi.parallel.roles import Sight
from scip_mpi.plan import make_plan

# Images are spread over so many folders.
FOLDERS = 100


def resident(field: str) -> int:
    """Bytes of memory that this process holds (``VmRSS``), or held at most (``VmHWM``)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(x for x in lines if x.startswith(field))
    return int(line.split()[1]) * 1024


def names(entries: int) -> Iterator[str]:
    """Relative paths as `simulate` makes them."""
    return (f"sample_{i % FOLDERS:02d}/cell_{i:08d}.tiff" for i in range(entries))


def made_up(entries: int, image: str) -> Catalog:
    """A catalog of so many images, one a file."""
    # Where the program holds texts in buffers, as its loaders do.
    texts = harness.optional("scip_mpi.loaders.texts")
    hold = texts.Texts.of if texts else list
    order = np.arange(entries, dtype=np.int64)
    group = (order % FOLDERS).astype(np.int32)
    return Catalog(
        files=hold(image if i == 0 else f"/data/{n}" for i, n in enumerate(names(entries))),
        sources=order.reshape(-1, 1),
        names=hold(names(entries)),
        named=order,
        within=np.full(entries, -1, np.int64),
        unit=order,
        group=group,
        groups=[f"sample_{g:02d}" for g in range(FOLDERS)],
        metadata={},
        sizes=np.full(entries, 60_000, np.int64),
        mtimes=np.full(entries, 1_700_000_000_000_000_000, np.int64),
    )


def main() -> None:
    """Print bytes by what holds them."""
    entries, config, image = int(sys.argv[1]), read_config(Path(sys.argv[2])), sys.argv[3]
    make_plan(config, made_up(10, image), [Sight("here")])  # loads what plans need
    before = resident("VmRSS")
    catalog = made_up(entries, image)
    listed = resident("VmRSS")
    plan = make_plan(config, catalog, [Sight("here")] * 64)
    found = {
        "chunks": plan.chunks,
        "catalog_bytes": listed - before,
        "plan_bytes": resident("VmRSS") - listed,
        "peak_bytes": resident("VmHWM") - before,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
