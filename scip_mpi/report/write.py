"""Writing OUT/report.html."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path

from scip_mpi.again import Source, open_source
from scip_mpi.errors import UserError
from scip_mpi.report import NAME, lacking, put
from scip_mpi.report.facts import read_facts
from scip_mpi.report.page import Wishes, render
from scip_mpi.results.finished import open_part


def write_report(out: Path, table: Path, wishes: Wishes) -> Path:
    """Write the report of a run whose table is complete, in place of one that is there.

    Raises
    ------
    UserError
        The labels cannot be read.
    """
    return put(out / NAME, render(read_facts(out, table), wishes))


def rebuild(out: Path, labels: Path | None = None) -> tuple[Path, str]:
    """Write the report of a finished run whose images have to be found again.

    Parameters
    ----------
    out : Path
    labels : Path, optional
        A CSV of labels, by image or by cell.

    Returns
    -------
    path : Path
        The report.
    problem : str
        Why it has no pictures, if it has none.

    Raises
    ------
    UserError
        The libraries are not there, there is no finished run, or the labels cannot be read.
    """
    problem = lacking()
    if problem:
        raise UserError(problem)
    out = out.resolve()
    labels = None if labels is None else labels.resolve()
    facts = read_facts(out, open_part(out).table)
    where = facts.told.get("cwd")
    # Paths are those of the run's own folder.
    with chdir(where if where and Path(where).is_dir() else "."):
        found: Source | str
        try:
            found = open_source(out, facts.told)
        except UserError as error:
            found = f"The images cannot be read again: {error}"
        path = put(out / NAME, render(facts, Wishes(found, labels, patient=True)))
    return path, found if isinstance(found, str) else ""
