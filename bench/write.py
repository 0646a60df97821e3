"""Rate at which the table is written, against ``dd conv=fdatasync`` to the same disk.

Both synced, side by side, in shuffled order; the rows come from memory, so that nothing but the
writing counts. At least half of dd's rate is wanted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import harness
from harness import Settings

HERE = Path(__file__).parent
MIB = 2**20


@click.command()
@click.option("--size", default=1024, show_default=True, help="MiB.")
@click.option("--columns", default=2627, show_default=True)
@click.option("--repeats", default=5, show_default=True)
@click.option("--ranks", default=2, show_default=True, help="Of MPI's writer.")
@harness.launcher_option
@harness.options
def main(
    settings: Settings, size: int, columns: int, repeats: int, ranks: int, launcher: str
) -> None:
    """Rate of writing the table against dd's, on the disk of --work."""
    if settings.quick:
        size, repeats = 8, 1
    harness.print_facts()
    rows = max(size * MIB // (4 * columns), 1)
    cases = [("dd", 1), ("posix", 1), ("mpi", 1), ("mpi", ranks)]
    found: list[dict[str, Any]] = []
    for repeat, (writer, n) in harness.shuffled(cases, repeats):
        target = settings.work / "written"
        try:
            if writer == "dd":
                seconds, written = by_dd(target, size), size * MIB
            else:
                seconds, written = by_us(target, writer, n, rows, columns, launcher)
        finally:
            target.unlink(missing_ok=True)
        rate = written / MIB / seconds
        found.append({"writer": writer, "ranks": n, "repeat": repeat, "mib": written / MIB,
                      "seconds": seconds, "mib_per_s": rate})  # fmt: skip
        click.echo(f"{writer}, {n} rank(s): {rate:.0f} MiB/s", err=True)
    for row in found:
        beside = next(r for r in found if r["writer"] == "dd" and r["repeat"] == row["repeat"])
        row["over_dd"] = row["mib_per_s"] / beside["mib_per_s"]
    table = []
    for writer, n in cases:
        own = [r for r in found if (r["writer"], r["ranks"]) == (writer, n)]
        table.append({
            "writer": writer, "ranks": n,
            "MiB/s": harness.said([r["mib_per_s"] for r in own]),
            "over dd": harness.said([r["over_dd"] for r in own]),
        })  # fmt: skip
    harness.print_table(table)
    click.echo("over dd: each against the dd of its repeat; at least 0.5 is wanted")
    harness.write_csv(harness.results_path(settings, "write"), found)


def by_dd(target: Path, size: int) -> float:
    """Seconds that dd takes for so many MiB, synced."""
    words = ["dd", "if=/dev/zero", f"of={target}", "bs=1M", f"count={size}", "conv=fdatasync"]
    ran = harness.measure(words)
    if ran.code != 0:
        raise click.ClickException(ran.stderr)
    return ran.wall_s


def by_us(
    target: Path, writer: str, ranks: int, rows: int, columns: int, by: str
) -> tuple[float, int]:
    """Seconds and bytes of the program's own writer."""
    words = [HERE / "table_writer.py", target, writer, str(rows), str(columns)]
    ran = harness.measure(harness.python(*words, ranks=None if writer == "posix" else ranks, by=by))
    if ran.code != 0:
        raise click.ClickException(ran.stderr)
    told = json.loads(ran.stdout)
    return told["seconds"], told["bytes"]


if __name__ == "__main__":
    main()
