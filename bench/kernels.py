"""Every kernel against its plain twin and against the installed peers, in CPU time.

Microseconds per cell and channel (of shapes: per cell and mask, of colocalization: per cell and
pair of channels), on single crops and on a whole labelled field. What a peer is asked for is never
quite what we compute; the columns tell how much.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import click
import harness
import kernel_cases
import kernel_inputs
import kernel_peers
from harness import Settings
from kernel_cases import FINE, FIVE, US, Case

LIBRARIES = (*harness.LIBRARIES, "scipy", "cp_measure", "mahotas", "nyxus")
ORDER = (
    "li", "otsu", "spot", "normaltest", "shape", "intensity", FIVE, "texture", "co-occurrence",
    "Sobel", "raw", "cp_intensity", "radial", "zernike", "colocalization", "Costes", "granularity",
    "cp_shape", "moments", "neighbors", "ideas", "spots", "haralick", FINE, "glrlm", "glszm",
    "ngtdm", "gldm", "lbp", "focus", "gabor",
)  # fmt: skip


@click.command()
@click.option("-n", "--number", default=100, show_default=True, help="Cells, for us and as field.")
@click.option("--few", default=4, show_default=True, help="Cells for twins, and peers on crops.")
@click.option("--repeats", default=7, show_default=True)
@click.option("--kernel", "chosen", multiple=True, type=click.Choice(ORDER), help="Only these.")
@click.option("--peers/--no-peers", default=True)
@harness.options
def main(
    settings: Settings, number: int, few: int, repeats: int, chosen: tuple[str, ...], peers: bool
) -> None:
    """Every kernel against its twin and the peers: microseconds per cell and channel."""
    if settings.quick:
        number, few, repeats = 4, 1, 1
    harness.print_facts(LIBRARIES)
    cells, some = kernel_inputs.make(number), kernel_inputs.make(few)
    cases = kernel_cases.ours(cells)
    try:
        cases += kernel_cases.twins(some, cells)
    except ImportError as error:
        click.echo(f"missing: the twins ({error}); pip install 'scip_mpi[bench]'")
    if peers:
        for name in kernel_peers.missing():
            click.echo(f"missing: {name} is not installed; pip install 'scip_mpi[bench]'")
        cases += kernel_peers.peers(cells, some)
    cases = [c for c in cases if not chosen or c.kernel in chosen]
    rows = table(cases, measured(cases, repeats))
    printed = ("kernel", "given", "who", "how", "columns", "us", "range", "times")
    harness.print_table([{k: row[k] for k in printed} for row in rows])
    click.echo(f"us: CPU per cell and channel, median of {repeats}; times: over ours")
    path = harness.results_path(settings, "kernels")
    harness.write_csv(path, rows, LIBRARIES)
    draw(path, rows)


def measured(cases: list[Case], repeats: int) -> list[list[float]]:
    """Microseconds of each case in every repeat, the cases in another order each time."""
    found: list[list[float]] = [[] for _ in cases]
    for case in cases:
        run(case)  # compiled, and in the caches
    for _, k in harness.shuffled(range(len(cases)), repeats):
        found[k].append(run(cases[k]))
    return found


def run(case: Case) -> float:
    """CPU microseconds per unit of one call."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(None):
        warnings.simplefilter("ignore")
        began = time.process_time()
        case.call()
        return (time.process_time() - began) * 1e6 / case.units


def table(cases: list[Case], found: list[list[float]]) -> list[dict[str, Any]]:
    """A row per case: kernels in order, on crops first, ours first."""
    base = {
        (c.kernel, c.given): median(us) for c, us in zip(cases, found, strict=True) if c.who == US
    }
    order = sorted(range(len(cases)), key=lambda k: (
        ORDER.index(cases[k].kernel), cases[k].given, cases[k].who != US, k,
    ))  # fmt: skip
    rows = []
    for k in order:
        case, (middle, low, high) = cases[k], harness.spread(found[k])
        rows.append({
            "kernel": case.kernel, "given": case.given, "who": case.who, "how": case.how,
            "columns": case.columns, "us": middle, "range": f"{low:.4g} to {high:.4g}",
            "us_min": low, "us_max": high, "units": case.units,
            "times": middle / base[case.kernel, case.given],
        })  # fmt: skip
    return rows


def draw(path: Path, rows: list[dict[str, Any]]) -> None:
    """Bars of the time per cell and channel, on crops and on the field, a colour for each code."""
    pyplot = harness.pyplot()
    if pyplot is None:
        return
    everyone = list(dict.fromkeys(row["who"] for row in rows))
    height = 1 + 0.22 * max(sum(r["given"] == g for r in rows) for g in ("crops", "field"))
    figure, axes = pyplot.subplots(1, 2, figsize=(12, height), layout="constrained", sharex=True)
    for axis, given in zip(axes, ("crops", "field"), strict=True):
        own = [row for row in rows if row["given"] == given]
        at = range(len(own))
        colours = [f"C{everyone.index(row['who'])}" for row in own]
        axis.barh(at, [row["us"] for row in own], color=colours)
        axis.set_yticks(
            at, [f"{r['kernel']}: {r['who']} ({r['columns']})" for r in own], fontsize=7
        )
        axis.set(
            xscale="log", title=given, xlabel="CPU us per cell and channel (in brackets: columns)"
        )
        axis.invert_yaxis()
    figure.savefig(path.with_suffix(".png"), dpi=150)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
