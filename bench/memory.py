"""Memory per rank: under its budget however many images there are; rank 0 also holds the catalog.

Runs of few, more and many images with a small budget, then a catalog of made-up entries and the
plan that rank 0 makes of it. What rank 0 takes once, for the parts in which it writes, it has by
the second of these runs: its growth is from there to the last.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import harness
from harness import Settings

HERE = Path(__file__).parent


@click.command()
@click.option(
    "--counts", default="2000,20000,50000", show_default=True, help="Three numbers of images."
)
@click.option("--ranks", default=2, show_default=True)
@click.option("--budget", default="64 MiB", show_default=True, help="resources.memory of a rank.")
@click.option("--config", default="li", show_default=True, help="li, paper or a file.")
@click.option("--entries", default=10_000_000, show_default=True, help="Of the made-up catalog.")
@click.option("--only", type=click.Choice(["runs", "catalog"]), help="One of the two parts.")
@harness.launcher_option
@harness.options
def main(
    settings: Settings,
    counts: str,
    ranks: int,
    budget: str,
    config: str,
    entries: int,
    only: str | None,
    launcher: str,
) -> None:
    """Peak memory by rank, and rank 0's growth with the number of images."""
    numbers = [int(n) for n in counts.split(",")]
    if settings.quick:
        numbers, entries = [10, 20, 30], 10_000
    harness.print_facts()
    if only != "catalog":
        scratch = settings.work / "scratch"
        scratch.mkdir(exist_ok=True)
        limits = f"resources: {{memory: {budget}, scratch: {scratch}}}\n"
        small = harness.config(settings, config, limits)
        runs(settings, numbers, ranks, budget, small, launcher)
    if only != "runs":
        catalog(settings, entries, harness.config(settings, config))


def runs(
    settings: Settings, numbers: list[int], ranks: int, budget: str, config: Path, by: str
) -> None:
    """Peak memory of every rank for all numbers of images, each on a rank's first run."""
    rows, peaks = [], {}
    for number in numbers:
        images = harness.simulated(settings.work, number) / "images"
        ran = harness.run_program(settings, config, images, ranks, by)
        peaks[number] = [rank["peak_memory_bytes"] for rank in ran.run_json["ranks"]]
        rows += [
            {"config": config.stem, "budget": budget, "images": number, "rank": k, "peak_mib": p}
            for k, p in enumerate(x / 2**20 for x in peaks[number])
        ]
    harness.print_table(rows)
    few, more, many = (peaks[n] for n in numbers)
    for k in range(1, ranks):
        click.echo(f"rank {k}: {100 * (many[k] / few[k] - 1):+.1f} % (at most 5)")
    growth = (many[0] - more[0]) / (numbers[2] - numbers[1])
    click.echo(f"rank 0: {growth:,.0f} bytes more for each image (at most 250)")
    harness.write_csv(harness.results_path(settings, "memory"), rows)


def catalog(settings: Settings, entries: int, config: Path) -> None:
    """What rank 0 holds of so many made-up images, in a process of its own."""
    image = next((harness.simulated(settings.work, 10) / "images").rglob("*.tiff"))
    rows = []
    # Of a tenth and of all, so that what Python and the libraries hold does not count.
    for number in (max(entries // 10, 1), entries):
        ran = harness.measure(
            harness.python(HERE / "made_up_catalog.py", number, config, image),
        )
        if ran.code != 0:
            raise click.ClickException(ran.stderr)
        rows.append({"entries": number, "cpu_s": ran.cpu_s, **json.loads(ran.stdout)})
    part, whole = rows
    for what in ("catalog", "plan", "peak"):
        key = f"{what}_bytes"
        whole[f"{what}_bytes_per_image"] = (whole[key] - part[key]) / (entries - part["entries"])
    harness.print_table(rows)
    harness.write_csv(harness.results_path(settings, "catalog"), rows)


if __name__ == "__main__":
    main()
