"""CPU time per image of a whole job, by stage: reading, masks, features, table, everything.

By default as a slope between two numbers of images, so that the fixed start does not count; with
``--job N`` one run of so many images, and what it says about ``--project`` images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import click
import harness
from harness import Ran, Settings

# CPU milliseconds per 12-channel image: what must be reached, and what SCIP takes.
LIMITS = {"throughput_li": (3.0, 590.0), "throughput_paper": (14.0, 2300.0)}


@click.command()
@click.option("--config", "configs", multiple=True, help="li, paper or a file; both by default.")
@click.option("--counts", default="500,10000", show_default=True, help="Two numbers of images.")
@click.option("--repeats", default=3, show_default=True)
@click.option("--ranks", default=1, show_default=True)
@click.option("--images", type=click.Path(path_type=Path), help="A folder of images to repeat.")
@click.option("--packed", is_flag=True, help="Pack the images into few files first.")
@click.option("--job", type=int, help="One run of so many images instead of the slope.")
@click.option("--project", default=250_000, show_default=True, help="Images to extend --job to.")
@harness.launcher_option
@harness.options
def main(
    settings: Settings,
    configs: tuple[str, ...],
    counts: str,
    repeats: int,
    ranks: int,
    images: Path | None,
    packed: bool,
    job: int | None,
    project: int,
    launcher: str,
) -> None:
    """CPU time per image of a whole job, by stage."""
    numbers = [int(n) for n in counts.split(",")]
    if settings.quick:
        numbers, repeats, job = [10, 30], 1, job and 30
    if job:
        # A tenth of it tells what is fixed.
        numbers, repeats = [max(job // 10, 1), job], 1
    if len(numbers) != 2 or not 0 < numbers[0] < numbers[1]:
        raise click.BadParameter("--counts takes two numbers of images, the smaller one first")
    harness.print_facts()
    folders = {n: _images(settings, images, n, packed) for n in numbers}
    found = []
    for name in configs or ("li", "paper"):
        config = harness.config(settings, name)
        harness.warm(settings, config, folders[numbers[0]], ranks, launcher)
        runs: dict[int, list[Ran]] = {n: [] for n in numbers}
        for _, n in harness.shuffled(numbers, repeats):
            runs[n].append(harness.run_program(settings, config, folders[n], ranks, launcher))
            click.echo(f"{config.stem}: {n:,} images, {runs[n][-1].cpu_s:.2f} CPU s", err=True)
        rows = slopes(config.stem, ranks, runs)
        click.echo(f"\n{config.stem}: milliseconds per image, {ranks} rank(s)")
        harness.print_table(rows)
        compare(config.stem, rows[0]["cpu_ms"])
        if job:
            extend(runs, numbers, project, rows[0])
        found += rows
    harness.write_csv(harness.results_path(settings, "throughput"), found)


def _images(settings: Settings, images: Path | None, number: int, packed: bool) -> Path:
    """So many images, simulated or the given ones over and over, packed if wanted."""
    if images is None:
        folder = harness.simulated(settings.work, number)
    else:
        folder = harness.repeated(settings.work, images, number)
    return harness.packed(folder) if packed else folder / "images"


def slopes(config: str, ranks: int, runs: dict[int, list[Ran]]) -> list[dict[str, Any]]:
    """Milliseconds per image from few images to many: the whole job, then each stage.

    ``fixed_s`` is what the whole job would take without images; ``others`` is what no stage counts:
    on rank 0 the listing, the manager's thread and Parquet.
    """
    few, many = sorted(runs)

    def slope(values: Sequence[float], base: Sequence[float]) -> tuple[float, float, float]:
        each = [1000 * (v - median(base)) / (many - few) for v in values]
        return harness.spread(each)

    def row(stage: str, cpu: tuple[float, float, float], wall: float) -> dict[str, Any]:
        middle, low, high = cpu
        return {"config": config, "ranks": ranks, "few": few, "many": many, "stage": stage,
                "cpu_ms": middle, "cpu_ms_min": low, "cpu_ms_max": high,
                "wall_ms": wall}  # fmt: skip

    cpu = {n: [r.cpu_s for r in of] for n, of in runs.items()}
    wall = {n: [r.wall_s for r in of] for n, of in runs.items()}
    whole = row("everything", slope(cpu[many], cpu[few]), slope(wall[many], wall[few])[0])
    whole["fixed_s"] = median(cpu[few]) - whole["cpu_ms"] * few / 1000
    rows = [whole]
    for name in sorted(runs[many][0].stages()):
        seconds = {
            kind: {n: [r.stages(kind)[name] for r in of] for n, of in runs.items()}
            for kind in ("cpu_s", "wall_s")
        }
        spent = slope(seconds["cpu_s"][many], seconds["cpu_s"][few])
        waited = slope(seconds["wall_s"][many], seconds["wall_s"][few])[0]
        if max(spent[0], waited) > 0.0005:
            rows.append(row(name, spent, waited))
    rest = whole["cpu_ms"] - sum(r["cpu_ms"] for r in rows[1:])
    rest_wall = ranks * whole["wall_ms"] - sum(r["wall_ms"] for r in rows[1:])
    rows.append(row("others", (rest, rest, rest), rest_wall))
    return rows


def compare(config: str, cpu_ms: float) -> None:
    """Say how far from the limit, and from SCIP."""
    if config in LIMITS:
        limit, scip = LIMITS[config]
        click.echo(f"limit {limit:g} ms; SCIP {scip:,.0f} ms, {scip / cpu_ms:,.0f} times as much")


def extend(
    runs: dict[int, list[Ran]], numbers: Sequence[int], project: int, row: dict[str, Any]
) -> None:
    """What one job says about a larger one, the time growing with the number of images."""
    few, many = numbers
    seconds = runs[many][0].wall_s
    each = (seconds - runs[few][0].wall_s) / (many - few)
    row["projected_images"] = project
    row["projected_min"] = (seconds + each * (project - many)) / 60
    click.echo(
        f"measured: {many:,} images in {seconds / 60:.2f} min. Extrapolated from {few:,} and "
        f"{many:,} images: {project:,} in {row['projected_min']:.1f} min"
    )


if __name__ == "__main__":
    main()
