"""Commands on finished tables, and what all commands share; no work is done here."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

from scip_mpi.errors import UserError
from scip_mpi.libraries import require
from scip_mpi.parallel.world import launched_size


def refuse_several(command: str) -> None:
    """Refuse what several processes would all do in one place."""
    if launched_size(os.environ) > 1:
        raise UserError(f"{command} works in one process: start it without srun or mpiexec")


class Size(click.ParamType):
    """Bytes, such as 500M or 1G."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, context: click.Context | None
    ) -> int:
        """The number of bytes."""
        match = re.fullmatch(r"(?i)(\d+(?:\.\d+)?) ?([KMGT]?)(?:i?B)?", str(value).strip())
        size = float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ") if match else 0
        if size < 1:
            self.fail(f"{value!r} is no size; write 500M or 1G", param, context)
        return int(size)


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("labels", metavar="LABELS.csv", type=click.Path(path_type=Path))
@click.option("--label", help="Column of the labels.  [default: label, class, kind, ...]")
@click.option("--group-by", help="Column of obs or of the CSV: cells of a group stay together.")
@click.option("--folds", default=5, show_default=True, type=click.IntRange(min=2))
@click.option("--repeats", default=10, show_default=True, type=click.IntRange(min=1))
@click.option("--hold-out", help="A share (0.2) or COLUMN=VALUE: cells seen only at the end.")
@click.option("--channels", multiple=True, help="Compare: columns of these alone, as BF,SSC.")
@click.option("--tune", type=click.FloatRange(min=0), help="Seconds to try settings of the trees.")
@click.option(
    "--max-missing",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Columns with a larger share of missing values are dropped.",
)
@click.option("--drop-rare", is_flag=True, help="Leave out classes of fewer cells than folds.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 1_000_000))
@click.option(
    "--threads",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Of each model; figures may differ in the last digits between numbers of threads.",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Models at once.  [default: the cores]")
@click.option("--memory", type=Size(), help="For the cells, as 8G.  [default: half of all]")
@click.option("--scratch", type=click.Path(path_type=Path), help="For more than that.  [OUT]")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def classify(
    out: Path,
    labels: Path,
    label: str | None,
    group_by: str | None,
    folds: int,
    repeats: int,
    hold_out: str | None,
    channels: tuple[str, ...],
    tune: float | None,
    max_missing: float,
    drop_rare: bool,
    seed: int,
    threads: int,
    jobs: int | None,
    memory: int | None,
    scratch: Path | None,
    quiet: bool,
) -> None:
    r"""Learn from labelled cells what kinds of cells the table holds, by gradient boosting.

    LABELS.csv has a header, a column of labels, and a column `image` (names of images; leading
    folders may be missing), `image` and `object`, or `cell` (obs_names).

    Writes OUT/classification.html and .json, OUT/model.json, and columns class_... of obs.

    \b
    Examples
      python -m scip_mpi classify table labels.csv
      python -m scip_mpi classify table labels.csv --channels BF,SSC --channels DNA
      python -m scip_mpi classify table labels.csv --group-by plate --hold-out plate=P3 --tune 600
    """
    refuse_several("classify")
    require("classify", "ml", ("xgboost", "sklearn"))
    from scip_mpi.classification.classify import Request, lines
    from scip_mpi.classification.classify import classify as learn

    told = learn(
        Request(
            out, labels, label, group_by, folds, repeats, hold_out, channels, tune, max_missing,
            drop_rare, seed, threads, jobs, memory, scratch, quiet,
        )
    )  # fmt: skip
    for line in lines(told):
        click.echo(line)


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def predict(out: Path, model: Path, quiet: bool) -> None:
    """Write into obs of OUT what its cells are by a MODEL that classify made on another run."""
    refuse_several("predict")
    require("predict", "ml", ("xgboost", "sklearn"))
    from scip_mpi.classification.predict import predict as apply

    told = apply(out, model, quiet)
    for note in told.notes:
        click.echo(f"note: {note}")
    for name, count in told.counts.items():
        click.echo(f"{name}: {count:,} cells")
    if told.missing:
        click.echo(f"not predicted, as their images failed: {told.missing:,} cells")


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("paths", metavar="[PATH ...]", nargs=-1, type=click.Path())
@click.option("--csv", is_flag=True, help="The table as OUT/export/features.csv.")
@click.option("--fcs", is_flag=True, help="OUT/export/fcs/<group>.fcs, for programs with gates.")
@click.option("--aggregate", multiple=True, help="A row per value of columns of obs: plate,well.")
@click.option("--columns", multiple=True, help="For --fcs: names or patterns (feat_li_mean_*).")
@click.option("--by", default="group", show_default=True, help="For --fcs: a file per value.")
@click.option("--crops", is_flag=True, help="Crops and masks as OUT/export/crops.h5.")
@click.option(
    "--size",
    default=64,
    show_default=True,
    type=click.IntRange(1, 2048),
    help="Of crops, in pixels.",
)
@click.option("--where", multiple=True, help="For --crops: cells with COLUMN=VALUE in obs.")
@click.option("--cells", type=click.Path(path_type=Path), help="For --crops: a list of obs_names.")
@click.option("-o", "--folder", type=click.Path(path_type=Path), help="Instead of OUT/export.")
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def export(
    out: Path,
    paths: tuple[str, ...],
    csv: bool,
    fcs: bool,
    aggregate: tuple[str, ...],
    columns: tuple[str, ...],
    by: str,
    crops: bool,
    size: int,
    where: tuple[str, ...],
    cells: Path | None,
    folder: Path | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    r"""Write the table of a finished run in forms that other programs take.

    PATH ... are the images of the run, for --crops, which reads and masks them again.

    \b
    Examples
      python -m scip_mpi export table --csv
      python -m scip_mpi export table --fcs --by plate,well --columns 'feat_li_*_DNA'
      python -m scip_mpi export table --aggregate plate,well
      python -m scip_mpi export table images/ --crops --size 48 --where class_predicted=Metaphase
    """
    refuse_several("export")
    from scip_mpi.export.write import Request
    from scip_mpi.export.write import export as write

    request = Request(
        out, paths, fcs, csv, aggregate, columns, tuple(by.split(",")), crops, size, where, cells,
        folder, overwrite, quiet,
    )  # fmt: skip
    for line in write(request):
        click.echo(line)


@click.command()
@click.argument("paths", metavar="PATH ...", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--out", default="scip.yml", show_default=True, type=click.Path(path_type=Path))
@click.option("--fields/--cells", default=None, help="What an image is.  [default: by its looks]")
@click.option("--overwrite", is_flag=True, help="Replace a config that is there.")
def new(paths: tuple[str, ...], out: Path, fields: bool | None, overwrite: bool) -> None:
    """Look at images and write a commented config to begin with, which check accepts.

    Says how they are stored, by their names and headers; which channel shows the objects best, by
    its contrast; and whether an image is one cell or a field of many.
    """
    refuse_several("new")
    from scip_mpi.starter.write import write_config

    for line in write_config(paths, out, fields, overwrite):
        click.echo(line)


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("paths", metavar="[PATH ...]", nargs=-1, type=click.Path())
@click.option(
    "-n",
    "--number",
    default=20,
    show_default=True,
    type=click.IntRange(1, 200),
    help="Images, spread over all, the same ones every time.",
)
@click.option(
    "-o", "--out", default="preview.html", show_default=True, type=click.Path(path_type=Path)
)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def preview(config: Path, paths: tuple[str, ...], number: int, out: Path, quiet: bool) -> None:
    """Segment a sample of images and write a page of them, to tune masks before a big run.

    It shows all channels with the outlines of masks and objects, what check says, the filter's
    statistic, and problems. An earlier preview of that name is replaced.
    """
    refuse_several("preview")
    require("preview", "report", ("jinja2",))
    from scip_mpi.preview.write import preview as show

    for line in show(config, paths, number, out, quiet):
        click.echo(line)
