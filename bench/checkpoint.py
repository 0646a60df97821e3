"""What checkpoints cost: CPU time with ``resources.checkpoint`` full or rows, against off.

In turn, one after the other, so that whatever else the machine does falls on all alike. The cost
is that of the images alone: what is more than with ``off``, over what the stages of the run took.
"""

from __future__ import annotations

from typing import Any

import click
import harness
from harness import Settings

MODES = ("off", "rows", "full")
# Stages in which anything is written down, or brought to the disk.
KEEPING = ("record", "write", "sync")
# Of the CPU time of the work, at most.
WANTED = 0.03


@click.command()
@click.option("-n", "--number", default=5000, show_default=True, help="Images.")
@click.option("--repeats", default=7, show_default=True)
@click.option("--ranks", default=2, show_default=True)
@click.option("--config", default="li", show_default=True, help="li, paper or a file.")
@harness.launcher_option
@harness.options
def main(
    settings: Settings, number: int, repeats: int, ranks: int, config: str, launcher: str
) -> None:
    """CPU time of checkpoints."""
    if settings.quick:
        number, repeats = 20, 1
    harness.print_facts()
    # Of one file: what the system takes to open thousands varies more than what is looked for.
    images = harness.simulated_shard(settings.work, number)
    text = harness.config(settings, config).read_text()
    paths = {}
    for mode in MODES:
        paths[mode] = settings.work / f"checkpoint_{mode}.yml"
        paths[mode].write_text(f"{text}\nresources: {{checkpoint: '{mode}'}}\n")
    harness.warm(settings, paths["full"], images, ranks, launcher)
    found: list[dict[str, Any]] = []
    for repeat, mode in harness.shuffled(MODES, repeats):
        ran = harness.run_program(settings, paths[mode], images, ranks, launcher)
        stages = ran.stages()
        work = sum(seconds for name, seconds in stages.items() if name != "compile")
        keeping = sum(stages.get(name, 0.0) for name in KEEPING)
        found.append({"mode": mode, "repeat": repeat, "images": number, "ranks": ranks,
                      "config": config, "cpu_s": ran.cpu_s, "work_s": work,
                      "keeping_s": keeping, "wall_s": ran.wall_s})  # fmt: skip
        click.echo(f"{mode}: {work:.2f} s of CPU in the stages, {ran.cpu_s:.2f} in all", err=True)
    for row in found:
        off = next(r for r in found if r["mode"] == "off" and r["repeat"] == row["repeat"])
        row["cost"] = row["work_s"] / off["work_s"] - 1
        row["of_keeping"] = (row["keeping_s"] - off["keeping_s"]) / off["work_s"]
    harness.print_table([
        {
            "mode": mode,
            "work_s": harness.said([r["work_s"] for r in found if r["mode"] == mode]),
            "cost": harness.said([r["cost"] for r in found if r["mode"] == mode], 2),
            "of keeping": harness.said([r["of_keeping"] for r in found if r["mode"] == mode], 2),
        }
        for mode in MODES
    ])  # fmt: skip
    click.echo(f"cost: over `off` of the same repeat; at most {WANTED} is wanted")
    click.echo(f"of keeping: the same of the stages {', '.join(KEEPING)} alone")
    harness.write_csv(harness.results_path(settings, "checkpoint"), found)


if __name__ == "__main__":
    main()
