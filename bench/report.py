"""Seconds and memory that the report of a table of many cells takes, and the size of its page.

The table is made up: the rows of 1,000 cells, repeated under the names of many in a shard; the
pictures are read from the shard. At most 20 s for 250,000 cells and 10 MB for a million are wanted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import h5py
import harness
import numpy as np
import pyarrow.parquet as pq
from harness import Settings

from scip_mpi.results import h5ad
from scip_mpi.results.tables import ParquetRows

# Cells whose rows are repeated, and rows written at once.
DISTINCT = 1000
BLOCK = 5000


@click.command()
@click.option("--cells", default=250_000, show_default=True)
@click.option("--config", default="li", show_default=True, help="li, paper or a file.")
@harness.options
def main(settings: Settings, cells: int, config: str) -> None:
    """The report of a made-up table."""
    distinct = DISTINCT
    if settings.quick:
        cells, distinct = 130, 40
    harness.print_facts()
    path = harness.config(settings, config)
    few = run_few(settings, path, distinct)
    out = settings.work / f"report_{path.stem}_{cells}"
    if not (out / "features.h5ad").is_file():
        enlarge(few, out, packed(settings, cells, distinct), cells)
    row = measured(out)
    harness.print_table([row])
    harness.write_csv(harness.results_path(settings, "report"), [{"cells": cells} | row])


def packed(settings: Settings, cells: int, distinct: int) -> Path:
    """A shard of so many images, few of them different."""
    folder = settings.work / f"report_images_{cells}"
    if not folder.is_dir():
        words = ["simulate", folder, "-n", cells, "--size", 64, "--format", "packed"]
        scip(*words, "--distinct", distinct)
    return folder / "images" / "cells.h5"


def run_few(settings: Settings, config: Path, distinct: int) -> Path:
    """The table of the cells whose rows are repeated."""
    out = settings.work / f"report_few_{config.stem}_{distinct}"
    if not (out / "features.h5ad").is_file():
        images = packed(settings, distinct, distinct)
        scip("run", config, images, "-o", out, "-q", "--no-report", "--overwrite")
    return out


def scip(*words: Any) -> None:
    """Run a command of the program."""
    subprocess.run([sys.executable, "-m", "scip_mpi", *map(str, words)], check=True)


def named(shard: Path) -> tuple[list[str], list[str]]:
    """Names of the images of a shard, and of their groups, in its order."""
    from scip_mpi.loaders import packed as loader

    catalog = loader.discover([str(shard)])
    names = list(catalog.image_names(np.arange(len(catalog))))
    return names, [catalog.groups[g] for g in catalog.group.tolist()]


def enlarge(few: Path, out: Path, shard: Path, cells: int) -> None:
    """A finished run's folder whose table repeats the rows of a small one."""
    out.mkdir()
    names, of_image = named(shard)
    groups = sorted(set(of_image))
    code = {name: k for k, name in enumerate(groups)}
    with h5py.File(few / "features.h5ad") as own:
        obs, var = own["obs"], own["var"]
        filled = {n: obs[n].dtype for n in obs.attrs["column-order"] if hasattr(obs[n], "dtype")}
        facts = {n: texts(var[n]) for n in var.attrs["column-order"] if n not in h5ad.SEEN}
        spec = h5ad.TableSpec(
            cells, {"image": names, "group": groups}, {}, filled,
            var["_index"].asstr()[()].tolist(), facts, {"run": "{}"},
        )  # fmt: skip
        h5ad.create_table(out / "features.h5ad", spec)
        X = own["X"][()]
        with h5py.File(out / "features.h5ad", "r+") as file:
            for lo in range(0, cells, BLOCK):
                rows = np.arange(lo, min(lo + BLOCK, cells))
                again = rows % len(X)
                codes = {"image": rows, "group": np.array([code[of_image[i]] for i in rows])}
                ones = np.ones(len(rows), np.int64)
                spatial = np.zeros((len(rows), 2))
                h5ad.write_rows(file, h5ad.ObsRows(lo, rows, ones, codes, {}, spatial))
                file["X"][rows[0] : rows[-1] + 1] = X[again]
                for name in filled:
                    file["obs"][name][rows[0] : rows[-1] + 1] = obs[name][()][again]
        with h5py.File(out / "features.h5ad", "r+") as file:
            for name in h5ad.SEEN:
                file["var"][name][...] = var[name][()] * (cells // len(X) if name == "n_nan" else 1)
    images = pq.read_table(few / "images.parquet").to_pydict()
    columns: dict[str, Any] = {"image": names, "group": of_image}
    for name, values in images.items():
        if name not in columns:
            columns[name] = np.resize(np.array(values), cells)
    writer = ParquetRows(out / "images.parquet", ["group"])
    for lo in range(0, cells, 40_000):
        writer.write({n: values[lo : lo + 40_000] for n, values in columns.items()})
    writer.close()
    for name in ("discarded.parquet", "failures.csv"):
        (out / name).write_bytes((few / name).read_bytes())
    told = json.loads((few / "run.json").read_text())
    told |= {"images": cells, "rows": cells, "paths": [str(shard)], "out": str(out)}
    (out / "run.json").write_text(json.dumps(told))


def texts(node: h5py.Group) -> list[str]:
    """A column of text of var."""
    found: list[str] = node["categories"].asstr()[()][node["codes"][()]].tolist()
    return found


def measured(out: Path) -> dict[str, Any]:
    """Figures of ``report OUT``, started as its users do."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "scip_mpi", "report", str(out)]
    _, status, usage = os.wait4(subprocess.Popen(command).pid, 0)
    seconds = time.perf_counter() - begun
    if status:
        raise click.ClickException("no report was written")
    return {
        "seconds": round(seconds, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mib": round(usage.ru_maxrss / 1024),
        "page_mb": round((out / "report.html").stat().st_size / 1e6, 2),
    }


if __name__ == "__main__":
    main()
