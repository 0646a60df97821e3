"""What strong and weak scaling share: runs on several numbers of ranks, summaries, the plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import click
import harness
from harness import Ran, Settings

# Times of a run that scaling is judged by: all of it, and without the start.
TIMES = ("wall_s", "work_s")


def ranks_option(default: str) -> Callable[..., Any]:
    """``--ranks 1,2,4``."""
    return click.option("--ranks", default=default, show_default=True, help="Numbers of ranks.")


def row_of(ran: Ran, ranks: int, repeat: int, images: int) -> dict[str, Any]:
    """One run as a row of the CSV.

    ``wall_s`` is the whole run, ``start_s`` the part of it until the first image is read (Python,
    libraries, MPI, listing, the plan, kernels from the cache), ``work_s`` the rest.
    """
    told = ran.run_json
    compile_s = told["ranks"][0]["stages"].get("compile", {}).get("wall_s", 0.0)
    work = told["wall_s"] - compile_s
    return {
        "ranks": ranks,
        "repeat": repeat,
        "images": images,
        "wall_s": ran.wall_s,
        "start_s": ran.wall_s - work,
        "work_s": work,
        "cpu_s": ran.cpu_s,
        "nodes": len({rank["node"] for rank in told["ranks"]}),
    }


def run_all(
    settings: Settings,
    config: Path,
    images_of: Mapping[int, int],
    repeats: int,
    by: str,
) -> list[dict[str, Any]]:
    """Run every number of ranks on its number of images, as often, in shuffled order."""
    folders = {
        n: harness.simulated(settings.work, n) / "images" for n in set(images_of.values())
    }  # fmt: skip
    for ranks, images in images_of.items():
        harness.warm(settings, config, folders[images], ranks, by)
    rows = []
    for repeat, ranks in harness.shuffled(list(images_of), repeats):
        images = images_of[ranks]
        ran = harness.run_program(settings, config, folders[images], ranks, by)
        rows.append(row_of(ran, ranks, repeat, images))
        click.echo(f"{ranks} rank(s): {rows[-1]['work_s']:.2f} s after the start", err=True)
    return rows


def amdahl(ranks: Sequence[int], times: Sequence[float]) -> float:
    """Serial fraction s of T(n) = T(1) (s + (1 - s) / n), least squares; T(1) as measured."""
    y = [t / times[0] for t in times]
    x = [1 / n for n in ranks]
    weight = sum((1 - a) ** 2 for a in x)
    return sum((b - a) * (1 - a) for a, b in zip(x, y, strict=True)) / weight if weight else 0.0


def gustafson(ranks: Sequence[int], times: Sequence[float]) -> float:
    """Serial fraction s of n T(1) / T(n) = s + (1 - s) n, least squares; T(1) as measured."""
    speedup = [n * times[0] / t for n, t in zip(ranks, times, strict=True)]
    weight = sum((1 - n) ** 2 for n in ranks)
    if not weight:
        return 0.0
    return sum((s - n) * (1 - n) for n, s in zip(ranks, speedup, strict=True)) / weight


def summary(
    rows: Sequence[Mapping[str, Any]], weak: bool
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Medians, speed and efficiency against the fewest ranks, and the serial fraction fitted.

    Returns
    -------
    table : list of dict
        A row per number of ranks. ``speed`` is images per second relative to the fewest ranks.
    serial : dict of str to float
        Serial fraction, of the whole run and of what comes after the start; from the numbers of
        ranks that had a core each.
    """
    counts = sorted({row["ranks"] for row in rows})
    found: dict[str, list[float]] = {
        t: [median(r[t] for r in rows if r["ranks"] == n) for n in counts]
        for t in (*TIMES, "start_s", "cpu_s")
    }
    table = []
    for k, n in enumerate(counts):
        images = next(r["images"] for r in rows if r["ranks"] == n)
        first = next(r["images"] for r in rows if r["ranks"] == counts[0])
        nodes = max(r["nodes"] for r in rows if r["ranks"] == n)
        row: dict[str, Any] = {"ranks": n, "images": images, "start_s": found["start_s"][k]}
        for t in TIMES:
            speed = found[t][0] / found[t][k] * images / first
            row |= {t: found[t][k], f"speed_{t}": speed}
            row[f"efficiency_{t}"] = speed * counts[0] / n
        row["cpu_ms_per_image"] = 1000 * found["cpu_s"][k] / images
        row["core_each"] = n <= harness.cores() * nodes
        table.append(row)
    own = [k for k, row in enumerate(table) if row["core_each"]]
    fit = gustafson if weak else amdahl
    ranks = [counts[k] / counts[0] for k in own]
    serial = {t: fit(ranks, [found[t][k] for k in own]) for t in TIMES} if own else {}
    return table, serial


def report(
    settings: Settings, name: str, rows: Sequence[Mapping[str, Any]], weak: bool
) -> None:  # fmt: skip
    """Print the table and the fit, write the CSV, draw the plot."""
    table, serial = summary(rows, weak)
    harness.print_table(table)
    for t, s in serial.items():
        law = "Gustafson" if weak else "Amdahl"
        what = "whole run" if t == "wall_s" else "after the start"
        click.echo(f"serial fraction, {what}: {s:.4f} ({law}, ranks with a core each)")
    path = harness.results_path(settings, name)
    fits = {f"serial_{t}": s for t, s in serial.items()}
    harness.write_csv(path, [{**row, **fits} for row in rows])
    draw(path, table, serial, name.replace("_", " "))


def draw(
    path: Path, table: Sequence[Mapping[str, Any]], serial: Mapping[str, float], title: str
) -> None:
    """Speed and efficiency over ranks, with the ideal line; ranks that share cores are hollow."""
    pyplot = harness.pyplot()
    if pyplot is None:
        return
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    ranks = [row["ranks"] for row in table]
    left.plot(ranks, [n / ranks[0] for n in ranks], "k--", lw=1, label="ideal")
    right.axhline(1, color="k", ls="--", lw=1)
    for colour, (t, label) in enumerate((("wall_s", "whole run"), ("work_s", "after the start"))):
        said = f"{label}, serial {100 * serial[t]:.2f} %" if t in serial else label
        for axis, value in ((left, "speed"), (right, "efficiency")):
            y = [row[f"{value}_{t}"] for row in table]
            (line,) = axis.plot(ranks, y, color=f"C{colour}", label=said)
            for n, v, row in zip(ranks, y, table, strict=True):
                full = line.get_color() if row["core_each"] else "white"
                axis.plot(n, v, "o", mfc=full, mec=line.get_color())
    for axis, value in ((left, "speed over the fewest ranks"), (right, "efficiency")):
        axis.set(xlabel="ranks (hollow: more than cores)", ylabel=value, xticks=ranks, ylim=0)
        axis.legend(fontsize=8)
    figure.suptitle(title)
    figure.savefig(path.with_suffix(".png"), dpi=150)
    pyplot.close(figure)
