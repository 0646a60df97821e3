"""Tables of an array job joined into one: what each task wrote, one below the other."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py

import scip_mpi
from scip_mpi import disk
from scip_mpi.errors import DONE, FAILED, UserError
from scip_mpi.progress import Progress, open_progress
from scip_mpi.results import joining, parquet
from scip_mpi.results.finished import Part, open_part
from scip_mpi.results.folder import PARTS, Names, claim

BESIDE = ("images.parquet", "discarded.parquet")
BOUNDARIES = "channel_boundaries.csv"
# Rules whose bounds come from the values of all cells of a run.
DATA_DEPENDENT = {"threshold", "quantile", "mad"}


def merge(outs: Sequence[Path], out: Path, overwrite: bool = False, quiet: bool = False) -> int:
    """Join the tables of finished runs; returns the exit code.

    Rows stand in the order of ``outs``. ``obs_names`` get the place of their run among ``outs`` in
    front, counted from 0: ``<run>_<catalog index>_<label>``. A column ``source`` of obs, and of the
    tables beside the table, says which OUT a row is from.

    Parameters
    ----------
    outs : sequence of Path
        Folders of finished runs with the same columns.
    out : Path
        The new folder.
    overwrite : bool
        Whether results in ``out`` may be replaced.
    quiet : bool

    Raises
    ------
    UserError
        An OUT is not that of a finished run, or is given twice; columns or channels differ; or
        ``out`` cannot be used.
    """
    begun = time.monotonic()
    parts = [open_part(Path(path)) for path in outs]
    check_parts(parts, out)
    filenames = {part.names.filename for part in parts}
    names = Names(filenames.pop() if len(filenames) == 1 else "features")
    claimed = claim(out, overwrite, names)
    progress = open_progress(quiet)
    try:
        told = provenance(parts) | {"notes": notes(parts), "out": os.fspath(out)}
        for note in told["notes"]:
            progress.say(f"note: {note}")
        write(parts, out, names, told, progress)
        told["wall_s"] = round(time.monotonic() - begun, 3)
        (out / "run.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        disk.replace(out / names.partial, out / names.table)
        progress.say(f"table: {out / names.table} ({told['rows']:,} cells of {len(parts):,} runs)")
    except BaseException as error:
        take_back(out, names)
        # A full disk, or a file that is damaged (what Arrow cannot read is a ValueError).
        if not isinstance(error, OSError | ValueError):
            raise
        sys.stderr.write(f"scip_mpi: the tables could not be joined, nothing was left: {error}\n")
        return FAILED
    finally:
        claimed.release()
        progress.close()
    return DONE


def take_back(out: Path, names: Names) -> None:
    """Remove what a merge that failed has written; there was nothing of these names before."""
    for name in (names.partial, names.table, *BESIDE, "failures.csv", BOUNDARIES, "run.json"):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / names.parquet, ignore_errors=True)


def check_parts(parts: Sequence[Part], out: Path) -> None:
    """Refuse runs that are no parts of one table.

    Raises
    ------
    UserError
        A run stands there twice or is itself OUT, or columns or channels differ.
    """
    seen: dict[str, Part] = {}
    for part in parts:
        if out.exists() and part.out.samefile(out):
            raise UserError(f"-o {out} is one of the runs to join; give a folder of its own")
        same = seen.setdefault(part.told["fingerprint"], part)
        if same is not part:
            raise UserError(
                f"OUT {part.out} holds the same images and config as {same.out}: its cells would "
                "be there twice"
            )
    first = parts[0]
    with h5py.File(first.table, locking=False) as own:
        if joining.SOURCE in own["obs"]:
            raise UserError(
                f"OUT {first.out} has a column {joining.SOURCE!r}, which a merge adds: if it is a "
                "merge itself, give the runs that it joined; else call that metadata otherwise"
            )
        for part in parts[1:]:
            if part.told["channels"] != first.told["channels"]:
                raise UserError(
                    f"OUT {part.out} has other channels than {first.out}: "
                    f"{', '.join(part.told['channels'])}; not {', '.join(first.told['channels'])}"
                )
            with h5py.File(part.table, locking=False) as other:
                difference = joining.first_difference(own, other)
            if difference is not None:
                raise UserError(
                    f"OUT {part.out} has other columns than {first.out}: {difference}. Only "
                    "tables of the same config can be joined"
                )


def notes(parts: Sequence[Part]) -> list[str]:
    """What the user should know of a merge of these runs."""
    told = []
    if len({part.told["config"] for part in parts}) > 1:
        told.append("the configs of the runs differ, though their columns do not")
    if len({json.dumps([part.told["program"], part.told["versions"]]) for part in parts}) > 1:
        told.append("the runs were made by different versions of the program or its libraries")
    decided = []
    if any(DATA_DEPENDENT & rules_in(part.told["filter"]) for part in parts):
        decided.append("filtered")
    if any((part.out / BOUNDARIES).is_file() for part in parts):
        decided.append("normalized")
    if decided:
        told.append(
            f"each run was {' and '.join(decided)} by its own cells; over all of them that is "
            "impossible afterwards: run one job on all the images if it must be"
        )
    if any((part.out / "labels").is_dir() for part in parts):
        told.append("label images stay in the folders of their runs")
    if any(map(otherwise_named, parts)):
        told.append("no Parquet table is joined: CellProfiler's names stay in the folders of runs")
    return told


def otherwise_named(part: Part) -> bool:
    """Whether the Parquet table of a run has other names than SCIP's."""
    first = next(iter(sorted((part.out / part.names.parquet).glob(PARTS))), None)
    return first is not None and not parquet.has_own_names(first)


def rules_in(description: Any) -> set[str]:
    """Names of all rules in a filter's description, as run.json has it."""
    if isinstance(description, dict):
        own = {description["rule"]} if "rule" in description else set()
        return own.union(*(rules_in(value) for value in description.values()))
    if isinstance(description, list):
        return set().union(*(rules_in(value) for value in description))
    return set()


def provenance(parts: Sequence[Part]) -> dict[str, Any]:
    """What was joined, for uns and run.json."""
    first = parts[0].told
    sums = ("images", "rows", "failed_images", "overflows")
    prints = "\0".join(part.told["fingerprint"] for part in parts)
    return {
        "program": scip_mpi.__version__,
        "versions": first["versions"],
        "command": sys.argv,
        "config": first["config"],
        "fingerprint": hashlib.sha256(prints.encode()).hexdigest(),
        **{name: sum(part.told[name] for part in parts) for name in sums},
        **{name: first[name] for name in ("columns", "channels", "mask_sets")},
        "filter": None,
        "roles": [],
        "ranks": [],
        "exit_code": DONE,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "merged": [
            {"source": part.source}
            | {name: part.told[name] for name in ("fingerprint", "filter", *sums)}
            for part in parts
        ],
    }


def write(
    parts: Sequence[Part], out: Path, names: Names, told: dict[str, Any], progress: Progress
) -> None:
    """All files of the joined table but run.json; the table is not published yet."""
    sources = [part.source for part in parts]
    partial = out / names.partial
    uns = {"run": json.dumps(told), "config": told["config"]}
    progress.start("join", told["rows"], "cells")
    joining.join_tables([p.table for p in parts], sources, partial, uns, progress.advance)
    progress.finish()
    for name in BESIDE:
        joining.join_parquet([p.out / name for p in parts], sources, out / name)
    joining.join_csv([p.out / "failures.csv" for p in parts], sources, out / "failures.csv")
    bounded = [p for p in parts if (p.out / BOUNDARIES).is_file()]
    if bounded:
        files = [p.out / BOUNDARIES for p in bounded]
        joining.join_csv(files, [p.source for p in bounded], out / BOUNDARIES)
    joinable = all((p.out / p.names.parquet).is_dir() for p in parts)
    if joinable and not any(map(otherwise_named, parts)):
        parquet.export(partial, out / names.parquet, told["mask_sets"] or [""])
