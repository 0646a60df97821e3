"""``python tests/chaos -n 1000``: so many kills; bench/results/chaos.csv says what became of them.

A line for each fifty and mode, added to what is there: `restart`, where the same command goes on,
and `ulfm`, where the ranks that live do.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from pathlib import Path

import click

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from jobs import Tally, campaign, outlasting, prepare  # noqa: E402
from launch import ULFM  # noqa: E402

RESULTS = TESTS.parent / "bench" / "results" / "chaos.csv"
# Kills after which a line is written, so that a campaign that is ended early counts too.
STEP = 50
# Of these so many are of ranks that others outlive, where `bash .ci/ulfm` made an MPI for it.
OUTLIVED = 8


@click.command()
@click.option("-n", "--number", default=60, show_default=True, help="Kills.")
@click.option("-s", "--seed", type=int, help="The time of day by default.")
@click.option(
    "--shared",
    default=TESTS.parent.parent / "shared",
    type=click.Path(path_type=Path, exists=True),
    help="Folder with the real cells.",
)
def main(number: int, seed: int | None, shared: Path) -> None:
    """Kill jobs so often; those that went wrong stay in the folder named."""
    seed = int(time.time()) if seed is None else seed
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    click.echo(f"seed {seed}, in {folder}")
    ground = prepare(shared, folder)
    while number > 0:
        outlived = min(OUTLIVED, number) if ULFM.is_dir() else 0
        for mode, kills, run in (
            ("ulfm", outlived, outlasting),
            ("restart", min(number, STEP) - outlived, campaign),
        ):
            if kills:
                tally = Tally()
                run(ground, kills, seed, tally)
                append(seed, mode, tally)
                click.echo(f"seed {seed}, {mode}: {tally}")
                number -= tally.total
        seed += 1


def append(seed: int, mode: str, tally: Tally) -> None:
    """Add a line to the results."""
    row = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "seed": seed,
        "jobs": tally.jobs,
        "kills": tally.total,
        "cells_lost": tally.lost,
        "tables_differing": tally.differing,
        "unexpected": len(tally.unexpected),
        "images_computed_twice": tally.twice,
        "kinds": "; ".join(f"{k} {n}" for k, n in sorted(tally.kills.items())),
        "stages": "; ".join(f"{k} {n}" for k, n in sorted(tally.stages.items())),
        "mode": mode,
    }
    new = not RESULTS.exists()
    with RESULTS.open("a", newline="") as handle:
        writer = csv.DictWriter(handle, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


main()
