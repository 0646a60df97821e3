"""What does not grow with the images: imports, a run of 100 images, the first run ever."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from typing import Any

import click
import harness
from harness import Ran, Settings

IMPORT_S, RUN_S = 0.5, 3.0
SLOWEST = 8


@click.command()
@click.option("--repeats", default=7, show_default=True)
@click.option("--ranks", default=2, show_default=True)
@click.option("-n", "--number", default=100, show_default=True, help="Images of the warm run.")
@click.option("--config", default="li", show_default=True, help="li, paper or a file.")
@click.option("--first/--no-first", default=True, help="Also the first run ever, compiling.")
@harness.launcher_option
@harness.options
def main(
    settings: Settings,
    repeats: int,
    ranks: int,
    number: int,
    config: str,
    first: bool,
    launcher: str,
) -> None:
    """Imports of the command line, a warm run of 100 images, the first run ever."""
    if settings.quick:
        repeats, number = 1, 10
    harness.print_facts()
    imports = importtime()
    path = harness.config(settings, config)
    images = harness.simulated(settings.work, number) / "images"

    def run(on: int | None) -> Ran:
        # With the report, as users have it.
        return harness.run_program(settings, path, images, on, launcher, arguments=())

    harness.warm(settings, path, images, ranks, launcher)
    cases: dict[str, tuple[float | None, Callable[[], Ran]]] = {
        "python -c pass": (None, lambda: harness.measure([sys.executable, "-c", "pass"])),
        "import scip_mpi.cli": (
            IMPORT_S, lambda: harness.measure([sys.executable, "-c", "import scip_mpi.cli"])
        ),
        "scip_mpi --version": (
            None, lambda: harness.measure([sys.executable, "-m", "scip_mpi", "--version"])
        ),
        f"{number} images, alone": (RUN_S, lambda: run(None)),
        f"{number} images, {ranks} ranks": (RUN_S, lambda: run(ranks)),
    }  # fmt: skip
    found: dict[str, list[Ran]] = {name: [] for name in cases}
    for _, name in harness.shuffled(list(cases), repeats):
        found[name].append(cases[name][1]())
    rows = [row(name, found[name], cases[name][0]) for name in cases]
    if first:
        with tempfile.TemporaryDirectory(dir=settings.work) as cache:
            environ = {"NUMBA_CACHE_DIR": cache}
            for name in ("first run ever", "the next one"):
                ran = harness.run_program(settings, path, images, ranks, launcher, environ)
                rows.append(row(f"{name}, {ranks} ranks", [ran], None))
    harness.print_table(rows)
    click.echo(f"import scip_mpi.cli, by -X importtime: {imports / 1e6:.3f} s")
    rows.append({"what": "import scip_mpi.cli, by -X importtime", "wall_s": imports / 1e6})
    harness.write_csv(harness.results_path(settings, "startup"), rows)


def row(name: str, ran: list[Ran], limit: float | None) -> dict[str, Any]:
    """Median and range of one thing that was done some times."""
    wall, low, high = harness.spread([r.wall_s for r in ran])
    cpu = harness.spread([r.cpu_s for r in ran])
    return {"what": name, "wall_s": wall, "wall_min": low, "wall_max": high, "cpu_s": cpu[0],
            "cpu_min": cpu[1], "cpu_max": cpu[2], "limit_s": "" if limit is None else limit,
            "repeats": len(ran)}  # fmt: skip


def importtime() -> int:
    """Microseconds that the import of the command line takes by Python's own account."""
    ran = harness.measure([sys.executable, "-X", "importtime", "-c", "import scip_mpi.cli"])
    modules = {}
    for line in ran.stderr.splitlines():
        own, _, rest = line.removeprefix("import time:").partition("|")
        together, _, name = rest.partition("|")
        if own.strip().isdigit():
            modules[name.strip()] = (int(own), int(together))
    click.echo("slowest imports of the command line, us (own, with what they import):")
    for name, (own_us, all_us) in sorted(modules.items(), key=lambda m: -m[1][0])[:SLOWEST]:
        click.echo(f"  {own_us:7,} {all_us:8,}  {name}")
    # scip_mpi itself is imported before scip_mpi.cli, which so does not count it.
    return modules["scip_mpi"][1] + modules["scip_mpi.cli"][1]


if __name__ == "__main__":
    main()
