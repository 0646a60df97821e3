"""The same images on more and more ranks: speed, efficiency, serial fraction.

``--pairs`` instead runs 1 and 2 ranks in turn and takes the ratio of each pair, so that whatever
else the machine does falls on both; and two runs of 1 rank at once, which have nothing to do with
each other: the most that this machine's two cores give.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import harness
import scaling
from harness import Settings


@click.command()
@scaling.ranks_option("1,2")
@click.option("-n", "--number", default=5000, show_default=True, help="Images.")
@click.option("--repeats", default=5, show_default=True)
@click.option("--config", default="li", show_default=True, help="li, paper or a file.")
@click.option("--pairs", is_flag=True, help="Pairs of 1 and 2 ranks, one after the other.")
@harness.launcher_option
@harness.options
def main(
    settings: Settings,
    ranks: str,
    number: int,
    repeats: int,
    config: str,
    pairs: bool,
    launcher: str,
) -> None:
    """The same images on more and more ranks."""
    if settings.quick:
        number, repeats = 20, 1
    harness.print_facts()
    path = harness.config(settings, config)
    if pairs:
        in_pairs(settings, path, number, repeats, launcher)
        return
    counts = sorted({int(n) for n in ranks.split(",")})
    rows = scaling.run_all(settings, path, dict.fromkeys(counts, number), repeats, launcher)
    scaling.report(settings, "strong_scaling", [{"config": path.stem, **r} for r in rows], False)


def in_pairs(settings: Settings, config: Path, number: int, pairs: int, by: str) -> None:
    """Pairs of 1 and 2 ranks, the first of a pair in turn, and two of 1 rank at once; medians."""
    images = harness.simulated(settings.work, number) / "images"
    for ranks in (1, 2):
        harness.warm(settings, config, images, ranks, by)
    rows: list[dict[str, Any]] = []
    ratios: dict[str, list[float]] = {t: [] for t in scaling.TIMES}
    most: dict[str, list[float]] = {t: [] for t in scaling.TIMES}
    for pair in range(pairs):
        found = {}
        for ranks in ((1, 2), (2, 1))[pair % 2]:
            ran = harness.run_program(settings, config, images, ranks, by)
            found[ranks] = {
                "config": config.stem,
                "busy_wall_s": max(r["busy"]["wall_s"] for r in ran.run_json["ranks"]),
                **scaling.row_of(ran, ranks, pair, number),
            }
        apart = [scaling.row_of(ran, 1, pair, number) for ran in at_once(settings, config, images)]
        for t in scaling.TIMES:
            ratios[t].append(found[1][t] / found[2][t])
            most[t].append(2 * found[1][t] / max(ran[t] for ran in apart))
            found[2][f"speed_{t}"] = ratios[t][-1]
            found[2][f"most_{t}"] = most[t][-1]
        rows += found.values()
        click.echo(
            f"pair {pair + 1}: {ratios['work_s'][-1]:.3f} after the start; "
            f"two runs at once {most['work_s'][-1]:.3f}",
            err=True,
        )
    harness.print_table([{k: v for k, v in row.items() if k != "config"} for row in rows])
    click.echo(f"2 ranks over 1, {number:,} images, median of {pairs} pairs:")
    click.echo(f"  after the start {harness.said(ratios['work_s'], 4)}")
    click.echo(f"  whole run       {harness.said(ratios['wall_s'], 4)}")
    click.echo(f"two runs of 1 rank at once, after the start {harness.said(most['work_s'], 4)}")
    harness.write_csv(harness.results_path(settings, "pairs"), rows)


def at_once(settings: Settings, config: Path, images: Path) -> list[harness.Ran]:
    """Two runs of one rank side by side."""
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(harness.run_program, settings, config, images) for _ in range(2)]
        return [run.result() for run in runs]


if __name__ == "__main__":
    main()
