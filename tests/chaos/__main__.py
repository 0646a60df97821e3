"""``python tests/chaos -n 1000``: so many kills; bench/results/chaos.csv says what became of them.

A line for each fifty, added to what is there.
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

from jobs import Tally, campaign, prepare  # noqa: E402

RESULTS = TESTS.parent / "bench" / "results" / "chaos.csv"
# Kills after which a line is written, so that a campaign that is ended early counts too.
STEP = 50


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
        tally = Tally()
        campaign(ground, min(number, STEP), seed, tally)
        append(seed, tally)
        click.echo(f"seed {seed}: {tally}")
        number -= tally.total
        seed += 1


def append(seed: int, tally: Tally) -> None:
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
    }
    new = not RESULTS.exists()
    with RESULTS.open("a", newline="") as handle:
        writer = csv.DictWriter(handle, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


main()
