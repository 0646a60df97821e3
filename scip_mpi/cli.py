"""Commands and options; no work is done here."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

import scip_mpi
from scip_mpi.commands import Size, classify, export, new, predict, preview, refuse_several
from scip_mpi.errors import FAILED, USAGE, UserError
from scip_mpi.log import keep_going
from scip_mpi.parallel.guard import disk_fault
from scip_mpi.parallel.world import launched_rank, launched_size
from scip_mpi.signals import hold_signals, linger

# Seconds that other ranks leave rank 0 to say what is wrong.
SPEAKS_FIRST = 10.0
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=CONTEXT, invoke_without_command=True)
@click.version_option(scip_mpi.__version__, "-V", "--version")
@click.pass_context
def cli(context: click.Context) -> None:
    r"""From millions of multichannel cell images to one table of per-cell features.

    Without a command: run scip.yml -o scip_output.

    \b
    Examples
      python -m scip_mpi check scip.yml images/
      python -m scip_mpi run scip.yml images/ -o table
      mpiexec -n 8 python -m scip_mpi run scip.yml images/ -o table
      srun -n 64 python -m scip_mpi run scip.yml images/ -o table
    """
    if context.invoked_subcommand is None:
        if not Path("scip.yml").is_file():
            raise UserError(
                "there is no scip.yml here. Give a config: python -m scip_mpi run CONFIG PATH ... "
                "-o OUT; or try: python -m scip_mpi demo"
            )
        context.invoke(run, config=Path("scip.yml"), out=Path("scip_output"))


@cli.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("paths", nargs=-1, type=click.Path())
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Output folder.")
@click.option("--overwrite", is_flag=True, help="Replace the results that an earlier run left.")
@click.option("--strict", is_flag=True, help="Exit with 3 if any image failed.")
@click.option(
    "--writer",
    type=click.Choice(["auto", "hdf5", "mpi", "posix"]),
    default="auto",
    help="How ranks write the table: parallel HDF5, MPI's files, or each by itself.",
)
@click.option("--no-report", is_flag=True, help="No OUT/report.html; `report OUT` makes it later.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def run(
    config: Path,
    paths: tuple[str, ...] = (),
    out: Path = Path("scip_output"),
    overwrite: bool = False,
    strict: bool = False,
    writer: str = "auto",
    no_report: bool = False,
    quiet: bool = False,
) -> None:
    r"""Make the table: started alone, or by mpiexec or srun on any number of ranks.

    CONFIG is the YAML file, PATH ... the folders or files of images.

    \b
    Exit codes: 0 done; 2 usage, config or input error, before any work; 3 done, but some images
    failed and --strict was given; 75 stopped on a signal; 1 anything else.
    """
    hold_signals()
    from scip_mpi.job import Request
    from scip_mpi.run import start

    request = Request(
        config, list(paths), out, overwrite, strict, writer, quiet, report=not no_report
    )
    sys.exit(start(request))


@cli.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("paths", nargs=-1, type=click.Path())
@click.option(
    "-n",
    "--ranks",
    type=click.IntRange(min=1),
    help="Ranks to plan for.  [default: as many as were started]",
)
def check(config: Path, paths: tuple[str, ...], ranks: int | None) -> None:
    """Validate everything, read a few images, print what a run would do; touch nothing."""
    if launched_rank(os.environ) > 0:
        return
    from scip_mpi.check import check as examine

    for line in examine(config, list(paths), ranks or launched_size(os.environ)):
        click.echo(line)


@cli.command()
@click.argument("outs", metavar="OUT ...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="New folder.")
@click.option("--overwrite", is_flag=True, help="Replace the results that are there.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def merge(outs: tuple[Path, ...], out: Path, overwrite: bool, quiet: bool) -> None:
    """Join the tables of finished runs with the same columns, such as the tasks of an array job.

    Rows stand in the order of the OUTs; obs_names get the number of their OUT in front, from 0, and
    a column `source` names it. What was filtered or normalized by the cells of each run stays so.
    """
    refuse_several("merge")
    from scip_mpi.merge import merge as join

    sys.exit(join(outs, out, overwrite, quiet))


@cli.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="CSV with a column image, or cell (obs_names): the others colour the map.",
)
def report(out: Path, labels: Path | None) -> None:
    """Write OUT/report.html anew: what was run and found, pictures of cells, a map, worries."""
    refuse_several("report")
    from scip_mpi.report.write import rebuild

    path, problem = rebuild(out, labels)
    if problem:
        click.echo(f"note: no pictures of cells. {problem}", err=True)
    click.echo(f"report: {path}")


@cli.command()
def schema() -> None:
    """Print the JSON Schema of the config."""
    if launched_rank(os.environ) > 0:
        return
    from scip_mpi.config import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


@cli.command()
@click.option("--family", "families", multiple=True, metavar="NAME", help="Only this one.")
@click.option("--markdown", is_flag=True, help="As Markdown, as features.md is.")
def features(families: tuple[str, ...], markdown: bool) -> None:
    """List every feature: definition, unit, source, mask, and what its family costs."""
    if launched_rank(os.environ) > 0:
        return
    from scip_mpi.feature_list import as_markdown, as_text, list_families

    found = list_families(families)
    click.echo(as_markdown(found) if markdown else as_text(found), nl=False)


@cli.command()
@click.argument("inputs", nargs=-1, required=True, metavar="[CONFIG] [PATH]...")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="FILE.h5")
@click.option(
    "--shard-size", default="1G", show_default=True, type=Size(), help="About, such as 500M."
)
@click.option("--overwrite", is_flag=True, help="Replace the shards that an earlier packing left.")
@click.option("--strict", is_flag=True, help="Exit with 3 if any image failed.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def pack(
    inputs: tuple[str, ...], out: Path, shard_size: int, overwrite: bool, strict: bool, quiet: bool
) -> None:
    r"""Turn many small files into few large shards, alone or under mpiexec or srun.

    A CONFIG (*.yml) says by its load section which images there are, as in run; without one, PATHs
    are multi-page TIFF files or folders of them. Shards keep the images' ids, groups, metadata and
    channels (those of load.channels, if it is given). Then: python -m scip_mpi run CONFIG FILE*.h5

    \b
    Writes FILE.h5, or FILE_00000.h5, FILE_00001.h5, ...; images that cannot be read are listed
    in FILE_failures.csv.
    Exit codes: 0 done; 2 usage, config or input error, before any work; 3 done, but some images
    failed and --strict was given; 1 no image could be read, or anything else.
    """
    from scip_mpi.pack import Request, start

    sys.exit(start(Request(inputs, out, shard_size, overwrite, strict, quiet)))


@cli.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("-n", "--number", default=1000, show_default=True, help="Cells.")
@click.option("-c", "--channels", default=12, show_default=True, help="Channels, 1 to 12.")
@click.option("-s", "--seed", default=0, show_default=True, help="Same seed, same cells.")
@click.option(
    "--size", type=int, help="Height and width of all images, pixels.  [default: 48 to 72, mixed]"
)
@click.option(
    "--compression",
    default="none",
    show_default=True,
    type=click.Choice(["none", "zlib", "zstd", "lzw"]),
    help="Of TIFF files.",
)
@click.option(
    "--format",
    "kind",
    default="tiff",
    show_default=True,
    type=click.Choice(["tiff", "packed"]),
    help="A TIFF file per cell, or all in one shard.",
)
@click.option(
    "--distinct",
    type=int,
    help="Simulate so many cells only, and repeat them: quick, and in a shard without more space.",
)
def simulate(
    out: Path,
    number: int,
    channels: int,
    seed: int,
    size: int | None,
    compression: str,
    kind: str,
    distinct: int | None,
) -> None:
    """Make images of white blood cells with known truth, and a config that runs on them."""
    refuse_several("simulate")
    from scip_mpi import simulation

    simulation.write(
        out,
        number,
        channels=channels,
        seed=seed,
        size=size,
        compression=compression,
        format=kind,
        distinct=distinct,
    )
    click.echo(f"{number:,} cells of {channels} channels in {out}/images, truth in {out}/truth.csv")
    click.echo(f"Next: python -m scip_mpi run {out}/scip.yml {out}/images -o {out}/table")


@cli.command()
@click.option(
    "-o",
    "--out",
    default=Path("demo"),
    type=click.Path(path_type=Path),
    show_default=True,
    help="Folder for the images and the table.",
)
@click.option("-n", "--number", default=500, show_default=True, help="Cells.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def demo(out: Path, number: int, quiet: bool) -> None:
    """Simulate cells and make their table, alone or under mpiexec."""
    from scip_mpi.demo import start

    sys.exit(start(out, number, quiet))


for command in (classify, export, new, predict, preview):
    cli.add_command(command)


def main() -> None:
    """Run the command line; every error that the user can mend is said in plain words."""
    keep_going()
    code = 0
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        code = USAGE
        say_once(error.show)
    except UserError as error:
        code = USAGE
        message = f"scip_mpi: {error}"
        say_once(lambda: click.echo(message, err=True))
    except OSError as error:
        code, fault = FAILED, disk_fault(error)
        if fault is None:
            raise
        click.echo(fault, err=True)
    except (click.Abort, KeyboardInterrupt):
        code = FAILED
    sys.exit(code)


def say_once(say: Callable[[], None]) -> None:
    """Say what every rank found: rank 0 speaks, and the others let it come first.

    A launcher may end the job, and drop what was said, with the first rank that fails; MPICH's
    does neither.
    """
    if launched_rank(os.environ) == 0:
        say()
    elif launched_size(os.environ) > 1 and "HYDI_CONTROL_FD" not in os.environ:
        linger(SPEAKS_FIRST)
