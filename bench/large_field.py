"""One field larger than memory: its table by tiles, the time, and the peak memory of each rank.

Simulated: discs with soft edges on a grid that is shaken, two channels of uint16 in a plain TIFF.
"""

from __future__ import annotations

from pathlib import Path

import click
import harness
import numpy as np
from harness import Settings

# Rows that are made at once.
BAND = 500
LEVEL, NOISE = 100, 6
CONFIG = """\
load:
  format: multiframe_tiff
  channel_names: [DNA, CELL]
segment:
  method: {method}
  tiles: {{size: {size}, halo: {halo}}}
  settings: {{parent_channel_index: DNA, {settings}}}
background: {{DNA: ring, CELL: 0}}
feature_extraction: [shape, intensity, texture, bbox]
resources: {{memory: {budget}}}
"""
METHODS = {
    "threshold": "threshold: otsu, min_size: 40",
    "watershed": "cell_diameter: 24, min_size: 40",
}


@click.command()
@click.option("--side", default=20_000, show_default=True, help="Of the field, in pixels.")
@click.option("--cells", default=100_000, show_default=True)
@click.option("--ranks", default=2, show_default=True)
@click.option("--budget", default="256 MiB", show_default=True, help="resources.memory of a rank.")
@click.option("--size", default=2048, show_default=True, help="Of a tile.")
@click.option("--halo", default=64, show_default=True)
@click.option("--method", type=click.Choice(list(METHODS)), default="threshold", show_default=True)
@harness.launcher_option
@harness.options
def main(
    settings: Settings,
    side: int,
    cells: int,
    ranks: int,
    budget: str,
    size: int,
    halo: int,
    method: str,
    launcher: str,
) -> None:
    """Time and peak memory of a run on one large field."""
    if settings.quick:
        side, cells, size, halo = 600, 90, 256, 32
    harness.print_facts()
    images = settings.work / f"field_{side}_{cells}"
    if not images.exists():
        click.echo(f"simulating {cells:,} cells", err=True)
        images.mkdir()
        simulate(images / "field.tif", side, cells)
    config = settings.work / f"large_field_{method}.yml"
    config.write_text(
        CONFIG.format(method=method, settings=METHODS[method], size=size, halo=halo, budget=budget)
    )
    small = settings.work / "field_300_20"
    if not small.exists():
        small.mkdir()
        simulate(small / "field.tif", 300, 20)
    harness.warm(settings, config, small, ranks, launcher)
    ran = harness.run_program(settings, config, images, ranks, launcher)
    told = ran.run_json
    rows = [
        {
            "side": side, "cells": cells, "method": method, "size": size, "budget": budget,
            "rank": k, "peak_mib": rank["peak_memory_bytes"] / 2**20, "wall_s": ran.wall_s,
            "cpu_s": ran.cpu_s, "rows": told["rows"],
        }
        for k, rank in enumerate(told["ranks"])
    ]  # fmt: skip
    harness.print_table(rows)
    click.echo(f"{told['rows']:,} rows of {cells:,} cells; 1,024 MiB a rank is wanted")
    harness.write_csv(harness.results_path(settings, "large_field"), rows)


def simulate(path: Path, side: int, cells: int, seed: int = 0) -> None:
    """Write a field of so many cells, band by band."""
    import tifffile

    rng = np.random.default_rng(seed)
    across = int(np.ceil(np.sqrt(cells)))
    step = side / across
    number = np.sort(rng.permutation(across * across)[:cells])
    centre = (np.stack(np.divmod(number, across), axis=1) + 0.5) * step
    centre += rng.uniform(-0.12, 0.12, centre.shape) * step
    radius = rng.uniform(0.16, 0.26, cells) * min(step, 63)
    bright = rng.uniform(800, 1500, cells)
    shape = (2, side, side)
    out = tifffile.memmap(path, shape=shape, dtype=np.uint16, photometric="minisblack")
    for top in range(0, side, BAND):
        rows = slice(top, min(top + BAND, side))
        band = rng.normal(LEVEL, NOISE, (2, rows.stop - top, side)).astype(np.float32)
        reach = 2.2 * radius + 4
        for k in np.flatnonzero(
            (centre[:, 0] + reach > top) & (centre[:, 0] - reach < rows.stop)
        ).tolist():
            (y, x), r = centre[k], float(reach[k])
            r0, r1 = max(int(y - r), top), min(int(y + r) + 1, rows.stop)
            c0, c1 = max(int(x - r), 0), min(int(x + r) + 1, side)
            if r0 >= r1:
                continue
            away = np.hypot(np.arange(r0, r1)[:, None] - y, np.arange(c0, c1) - x)
            part = band[:, r0 - top : r1 - top, c0:c1]
            part[0] += bright[k] / (1 + np.exp(1.5 * (away - radius[k])))
            part[1] += bright[k] / 2 / (1 + np.exp(1.5 * (away - 1.6 * radius[k])))
        out[:, rows] = np.clip(band, 0, 65535).astype(np.uint16)
    out.flush()


if __name__ == "__main__":
    main()
