"""Where each rank's time went, stage by stage over the run, drawn from run.json.

python bench/timeline.py OUT            a finished run's folder, or its run.json
python bench/timeline.py                a run of its own
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import harness
from harness import Settings

# What is drawn in which colour: the same stage, the same colour in every plot.
COLOURS = {
    "compile": "#7f7f7f", "read": "#1f77b4", "segment": "#2ca02c", "measure": "#98df8a",
    "send": "#9467bd", "wait": "#d62728", "reduce": "#8c564b", "normalize": "#bcbd22",
    "create": "#c49c94", "features": "#ff7f0e", "write": "#17becf", "sync": "#9edae5",
    "export": "#e377c2",
}  # fmt: skip


@click.command()
@click.argument("out", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("-n", "--number", default=2000, show_default=True, help="Images of its own run.")
@click.option("--ranks", default=2, show_default=True, help="Of its own run.")
@click.option("--config", default="li", show_default=True, help="li, paper or a file.")
@harness.launcher_option
@harness.options
def main(
    settings: Settings, out: Path | None, number: int, ranks: int, config: str, launcher: str
) -> None:
    """Draw the stages of each rank over the time of the run OUT, or of a run of its own."""
    if out is None:
        number = 20 if settings.quick else number
        images = harness.simulated(settings.work, number) / "images"
        path = harness.config(settings, config)
        harness.warm(settings, path, images, ranks, launcher)
        told = harness.run_program(settings, path, images, ranks, launcher).run_json
    else:
        told = json.loads((out / "run.json" if out.is_dir() else out).read_text())
    rows = [
        {"rank": rank["rank"], "stage": name, **seconds}
        for rank in told["ranks"]
        for name, seconds in rank["stages"].items()
    ]
    harness.print_table(totals(told["ranks"]))
    path = harness.results_path(settings, "timeline")
    harness.write_csv(path, rows)
    # Of very many ranks run.json tells the timelines of some.
    draw(path, [rank for rank in told["ranks"] if rank["timeline"] is not None])


def totals(ranks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Seconds by rank and stage, stages in the order of the picture."""
    present = [s for s in COLOURS if any(r["stages"].get(s, {}).get("wall_s") for r in ranks)]
    return [
        {"rank": r["rank"]} | {s: r["stages"].get(s, {}).get("wall_s", 0.0) for s in present}
        for r in ranks
    ]


def draw(path: Path, ranks: list[dict[str, Any]]) -> None:
    """A band per rank, its height the share of each moment that a stage took."""
    pyplot = harness.pyplot()
    if pyplot is None:
        return
    height = 1.5 + 0.5 * len(ranks)
    figure, axis = pyplot.subplots(figsize=(10, min(height, 30)), layout="constrained")
    shown: dict[str, Any] = {}
    began = min(rank["timeline"]["start_s"] for rank in ranks)
    for rank in ranks:
        timeline = rank["timeline"]
        width, start, stages = timeline["bin_s"], timeline["start_s"] - began, timeline["stages"]
        below = [rank["rank"] - 0.45] * max(map(len, stages.values()), default=0)
        for stage in sorted(stages, key=lambda s: list(COLOURS).index(s) if s in COLOURS else 99):
            heights = [0.9 * seconds / width for seconds in stages[stage]]
            heights += [0.0] * (len(below) - len(heights))
            at = [start + k * width for k in range(len(below))]
            bars = axis.bar(at, heights, width, below, align="edge", color=COLOURS.get(stage))
            shown.setdefault(stage, bars)
            below = [a + b for a, b in zip(below, heights, strict=True)]
    axis.set(
        xlabel="seconds since the first rank began", ylabel="rank", ylim=(len(ranks) - 0.5, -0.5)
    )
    axis.yaxis.set_major_locator(pyplot.MaxNLocator(integer=True))
    figure.legend(shown.values(), shown, loc="outside right upper", fontsize=8)
    figure.savefig(path.with_suffix(".png"), dpi=150)
    pyplot.close(figure)
    click.echo(str(path.with_suffix(".png")), err=True)


if __name__ == "__main__":
    main()
