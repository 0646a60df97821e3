"""``python -m bench.model``: predicted wall time for 1 to 4,096 ranks, and how good that is.

``probe`` measures messages and hand-outs here; ``check`` compares with runs that sleep and with
the program on 1 and 2 ranks; ``predict`` prints what more ranks would reach; ``gpu`` how many
feature ranks a GPU feeds. CSV goes to bench/results.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench import harness
from bench.model.checks import (
    PIXELS,
    asleep,
    check_evenness,
    check_program,
    check_sleeping,
    mixed,
    ranks_say,
)
from bench.model.job import Fixed, chunk_sizes, predict
from bench.model.machine import Machine, from_probes
from bench.model.work import Work, from_run
from scip_mpi.parallel import shares as gpus

# What the program should reach: images, ranks, with start-up or without, efficiency.
TARGETS = (
    (1_000_000, 64, False, 0.95),
    (1_000_000, 1024, False, 0.90),
    (100_000_000, 1024, True, 0.90),
)
RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


@click.group()
def main() -> None:
    """Predict the wall time of a run, and check the prediction."""


def probed() -> tuple[Machine, list[dict[str, Any]]]:
    """This machine, by two ranks."""
    rows = list(csv.DictReader(io.StringIO(ranks_say(2, "bench.model.probes"))))
    return from_probes({r["what"]: float(r["seconds"]) for r in rows}), rows


def by_itself(settings: harness.Settings) -> tuple[Fixed, list[dict[str, Any]]]:
    """What rank 0 does by itself for each image, by one process."""
    folder = settings.work / "made_up"
    folder.mkdir(exist_ok=True)
    said = ranks_say(None, "bench.model.rank0", harness.config(settings, "li"), folder)
    rows = list(csv.DictReader(io.StringIO(said)))
    seconds = {r["what"]: float(r["seconds"]) for r in rows}
    fixed = Fixed(
        list_image=seconds["image listed"] + seconds["image planned"],
        clerk_image=seconds["image entered"],
        clerk_first=seconds["first block beyond"],
    )
    return fixed, rows


def recorded(settings: harness.Settings, name: str, run: Path | None, images: int) -> Work:
    """What images and rows cost: by a run.json, or by a run of one rank now."""
    if run is not None:
        return from_run(json.loads(run.read_text()))
    folder = harness.simulated(settings.work, images) / "images"
    config = harness.config(settings, name)
    harness.warm(settings, config, folder, None)
    return from_run(harness.run_program(settings, config, folder, None).run_json)


run_option = click.option(
    "--run",
    type=click.Path(path_type=Path, exists=True),
    help="run.json of a run on one rank; without it one is made now.",
)
name_option = click.option("--config", "name", default="li", show_default=True)


@main.command()
@harness.options
def probe(settings: harness.Settings) -> None:
    """Ping-pong and hand-out between two ranks, and what rank 0 does by itself."""
    machine, rows = probed()
    fixed, more = by_itself(settings)
    rows += more
    harness.print_table(rows)
    click.echo(machine)
    click.echo(fixed)
    harness.write_csv(harness.results_path(settings, "model_probes"), rows)


@main.command()
@name_option
@run_option
@click.option(
    "--ranks", default="16,32,64", show_default=True, help="Of the sleeping runs; empty: none."
)
@click.option("--each", default=3000, show_default=True, help="Images of a sleeping rank.")
@click.option("--images", default=3000, show_default=True, help="Of the program's runs; 0: none.")
@click.option("--repeats", default=5, show_default=True)
@harness.options
def check(
    settings: harness.Settings,
    name: str,
    run: Path | None,
    ranks: str,
    each: int,
    images: int,
    repeats: int,
) -> None:
    """Predicted against measured: sleeping on many ranks, the program on 1 and 2."""
    if settings.quick:
        ranks, each, images, repeats = "4", 100, images and 100, 1
    machine, _ = probed()
    work = recorded(settings, name, run, images or 500)
    rows = []
    for count in map(int, ranks.split(",") if ranks else ()):
        scenario = asleep(work, count, each, np.random.default_rng(0))
        rows.append(check_sleeping(machine, scenario, count))
        click.echo(
            f"{count} sleeping ranks: predicted / measured {rows[-1]['ratio']:.3f}", err=True
        )
    if images:
        found = check_program(machine, settings, name, images, repeats)
        for count in (1, 2):
            ratios = [r["ratio"] for r in found if r["ranks"] == count]
            click.echo(f"{count} rank(s): predicted / measured {harness.said(ratios)}", err=True)
        rows += found
    harness.print_table(rows)
    harness.write_csv(harness.results_path(settings, "model_check"), rows)


@main.command("evenness")
@name_option
@run_option
@click.option("--ranks", default="4,16", show_default=True, help="Of the sleeping runs.")
@click.option("--images", default=20_000, show_default=True)
@click.option("--repeats", default=3, show_default=True)
@harness.options
def evenness(
    settings: harness.Settings, name: str, run: Path | None, ranks: str, images: int, repeats: int
) -> None:
    """Images of mixed sizes, their costs varying tenfold: how far apart the ranks finish."""
    if settings.quick:
        ranks, images, repeats = "3", 300, 1
    work = recorded(settings, name, run, 500)
    rows = []
    for repeat in range(repeats):
        for count in map(int, ranks.split(",")):
            scenario = mixed(work, images, count, np.random.default_rng(repeat))
            rows += check_evenness(scenario, count)
    harness.print_table(rows)
    harness.write_csv(harness.results_path(settings, "model_evenness"), rows)


@main.command("predict")
@name_option
@run_option
@click.option("--clerk", type=float, help="The clerk's seconds for an image.")
@click.option("--listing", type=float, help="Rank 0's seconds to list and plan an image.")
@click.option("--crop", type=float, help="Pixels of an object's crop; the image's by default.")
@click.option("--targets/--sweep", default=True, help="The targets, or 1 to 4,096 ranks.")
@click.option("--images", default=1_000_000, show_default=True, help="Of the sweep.")
@harness.options
def foresee(
    settings: harness.Settings,
    name: str,
    run: Path | None,
    clerk: float | None,
    listing: float | None,
    crop: float | None,
    targets: bool,
    images: int,
) -> None:
    """What more ranks than there are here would reach."""
    machine, _ = probed()
    work = recorded(settings, name, run, 1000)
    fixed, _ = by_itself(settings)
    if clerk is not None:
        fixed = replace(fixed, clerk_image=clerk)
    if listing is not None:
        fixed = replace(fixed, list_image=listing)
    cases = [(n, p, aim) for n, p, _, aim in TARGETS] if targets else [
        (images, p, 0.0) for p in RANKS
    ]  # fmt: skip
    if settings.quick:
        cases = [(2000, 4, 0.0)]
    rows = []
    for count, ranks, aim in cases:
        sizes = chunk_sizes(count, ranks, PIXELS)
        told = predict(machine, fixed, work, ranks, sizes, PIXELS, crop)
        rows.append({
            "config": name, "images": count, "ranks": ranks, "chunks": told.chunks,
            "startup_s": told.startup, "first_s": told.first, "between_s": told.between,
            "second_s": told.second, "finish_s": told.finish, "parquet_s": told.parquet,
            "ideal_s": told.alone / ranks,
            "manager_s": told.manager_first + told.manager_second, "moved": told.moved,
            "clerk_s": told.clerk, "efficiency": told.efficiency,
            "with_startup": told.efficiency_with_startup, "aim": aim,
        })  # fmt: skip
        click.echo(f"{count:,} images, {ranks:,} ranks: {told.efficiency:.3f} after start-up, "
                   f"{told.efficiency_with_startup:.3f} with it", err=True)  # fmt: skip
    harness.print_table(rows)
    harness.write_csv(harness.results_path(settings, "model_predict"), rows)


@main.command("gpu")
@click.option("--gpu", "seconds", type=float, required=True, help="Seconds to segment an image.")
@click.option("--read", type=float, required=True, help="Seconds to read one.")
@click.option("--hold", default=1e-4, show_default=True, help="Seconds to take its masks in.")
@click.option("--row", type=float, required=True, help="Seconds of its features.")
@click.option("--least", default=0.02, show_default=True, help="Time that a rank must save.")
@harness.options
def gpu_command(
    settings: harness.Settings, seconds: float, read: float, hold: float, row: float, least: float
) -> None:
    """How many feature ranks beside one that segments on a GPU."""
    found = gpus.shares(seconds, hold, read, row)
    chosen = gpus.best(found, least)
    harness.print_table([vars(s) for s in found[: chosen.features + 4]])
    click.echo(f"{chosen.features} feature ranks per GPU: each of them saves {least:.0%} or more")
    harness.write_csv(harness.results_path(settings, "model_gpu"), [vars(s) for s in found])


if __name__ == "__main__":
    main()
