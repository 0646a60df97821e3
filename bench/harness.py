"""What all benchmarks share: the machine's facts, images, runs of the program, tables, CSV.

Imports little, so that a benchmark's own memory and start say nothing about the program's.
"""

from __future__ import annotations

import csv
import functools
import importlib
import itertools
import json
import os
import platform
import random
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import click

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = Path(__file__).parent / "configs" / "throughput"
LIBRARIES = ("scip_mpi", "numpy", "numba", "h5py", "scikit-image", "tifffile", "mpi4py", "mpich")
# Height and width of simulated images, and how many are simulated; more are the same again.
SIZE, DISTINCT = 64, 2000

Case = TypeVar("Case")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Settings:
    """What every benchmark is asked.

    Attributes
    ----------
    work : Path
        Folder for images and tables, kept between benchmarks.
    results : Path
        Folder for CSV and plots.
    quick : bool
        Tiny sizes: does it run, not how fast.
    """

    work: Path
    results: Path
    quick: bool


def options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``--work``, ``--results`` and ``--quick``, as one `Settings`."""

    @click.option(
        "--work",
        type=click.Path(path_type=Path),
        default=Path(tempfile.gettempdir()) / "scip_mpi_bench",
        show_default=True,
        help="Folder for images and tables; images are kept for the next benchmark.",
    )
    @click.option(
        "--results",
        type=click.Path(path_type=Path),
        default=Path(__file__).parent / "results",
        show_default="bench/results",
        help="Folder for CSV and plots.",
    )
    @click.option("--quick", is_flag=True, help="Tiny sizes, to see that it runs.")
    @functools.wraps(function)
    def wrapped(work: Path, results: Path, quick: bool, **rest: Any) -> None:
        work.mkdir(parents=True, exist_ok=True)
        function(Settings(work.resolve(), results.resolve(), quick), **rest)

    return wrapped


def machine(libraries: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """What a figure needs beside it: date, machine, versions, command; the same in every row."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "machine": f"{processor()}, {cores()} cores, {memory_bytes() / 2**30:.0f} GiB",
        "load": " ".join(f"{x:.1f}" for x in os.getloadavg()),
        "versions": ", ".join(f"{k} {v}" for k, v in versions(libraries).items()),
        "command": shlex.join(["python", *(_from_root(a) for a in sys.argv)]),
    }


def _from_root(argument: str) -> str:
    path = Path(argument).resolve()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else argument


def processor() -> str:
    """Name of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x.split(":", 1)[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def cores() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


def memory_bytes() -> int:
    """Memory of the machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def versions(names: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """Versions of Python, of libraries that are installed, and the commit that is checked out."""
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    found["commit"] = commit()
    return found


def commit() -> str:
    """The commit checked out, with a + if files differ from it."""
    try:
        git = ["git", "-C", str(ROOT)]
        head = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True
        )
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True)
    except OSError:
        return "unknown"
    return (head.stdout.strip() or "unknown") + ("+" if changed.stdout else "")


# Images


def simulated(work: Path, number: int, seed: int = 0, distinct: int = DISTINCT) -> Path:
    """A folder of so many simulated 12-channel images, made if it is not there.

    The first ``distinct`` are simulated, the others are links to them: the program cannot tell,
    and a disk holds a million.

    Returns
    -------
    Path
        Holds ``images/``, ``truth.csv`` (of the distinct ones) and ``scip.yml``.
    """
    if number <= distinct:
        return _finished(
            work / f"cells_{SIZE}_{number}_{seed}", lambda f: _simulate(f, number, seed)
        )
    source = simulated(work, distinct, seed, distinct)

    def fill(folder: Path) -> None:
        repeat(source / "images", folder / "images", number)
        for name in ("truth.csv", "scip.yml"):
            shutil.copyfile(source / name, folder / name)

    return _finished(work / f"cells_{SIZE}_{number}_of_{distinct}_{seed}", fill)


def _simulate(folder: Path, number: int, seed: int) -> None:
    from scip_mpi import simulation

    click.echo(f"simulating {number:,} images", err=True)
    simulation.write(folder, number, seed=seed, size=SIZE)


def simulated_shard(work: Path, number: int, seed: int = 0, distinct: int = DISTINCT) -> Path:
    """The same images in one shard, in which those that recur take no space."""
    from scip_mpi import simulation

    def fill(folder: Path) -> None:
        simulation.write(folder, number, seed=seed, size=SIZE, format="packed", distinct=distinct)

    return _finished(work / f"shard_{SIZE}_{number}_of_{distinct}_{seed}", fill) / "images"


def repeat(source: Path, target: Path, number: int) -> None:
    """Fill a folder with so many links to the files of another, in turn."""
    files = sorted(p for p in source.rglob("*") if p.is_file())
    for i, file in zip(range(number), itertools.cycle(files), strict=False):
        place = target / file.parent.relative_to(source) / f"{i // len(files):06d}_{file.name}"
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, place)
        except OSError:  # another disk, or too many links
            shutil.copyfile(file, place)


def repeated(work: Path, source: Path, number: int) -> Path:
    """A folder of so many links to a folder's images, made if it is not there."""
    name = f"{source.resolve().name}_{zlib.crc32(bytes(source.resolve())):08x}_{number}"
    return _finished(work / name, lambda folder: repeat(source, folder / "images", number))


def _finished(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Fill a new folder, unless it was filled before; one that was left half filled is not used."""
    if not folder.exists():
        partial = Path(tempfile.mkdtemp(prefix=folder.name + ".", dir=folder.parent))
        fill(partial)
        partial.rename(folder)
    return folder


def packed(folder: Path) -> Path:
    """The images of a folder in few large files, made beside it if they are not there.

    Raises
    ------
    click.ClickException
        They cannot be packed; with what the program said.
    """

    def fill(partial: Path) -> None:
        command = python(
            "-m", "scip_mpi", "pack", "-q", folder / "images", "-o", partial / "cells.h5"
        )
        ran = measure(command)
        if ran.code != 0:
            raise click.ClickException(
                f"{shlex.join(command)}\nended with {ran.code}:\n{ran.stderr}"
            )

    return _finished(folder.with_name(folder.name + "_packed"), fill)


def config(settings: Settings, name: str, more: str = "") -> Path:
    """The config ``li`` or ``paper``, or a file; with more sections, a copy that has them."""
    path = CONFIGS / f"throughput_{name}.yml"
    path = path if path.exists() else Path(name)
    if not more:
        return path
    copy = settings.work / path.name
    copy.write_text(path.read_text() + more)
    return copy


# Runs


@dataclass(frozen=True)
class Ran:
    """What a command cost.

    Attributes
    ----------
    wall_s : float
        From start to end.
    cpu_s : float
        User and system time of all its processes, as far as they were waited for: of srun, the
        ranks' own (`run_json`).
    peak_bytes : int
        Resident memory of its largest process.
    code : int
        Exit code.
    stdout, stderr : str
        What it said.
    run_json : dict
        What the program says of the run, if it was the program and ended well.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int
    code: int
    stdout: str
    stderr: str
    run_json: dict[str, Any]

    def stages(self, kind: str = "cpu_s") -> dict[str, float]:
        """Seconds by stage, over all ranks."""
        total: dict[str, float] = {}
        for rank in self.run_json["ranks"]:
            for name, seconds in rank["stages"].items():
                total[name] = total.get(name, 0.0) + seconds[kind]
        return total


def measure(
    command: Sequence[str | Path], environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Ran:
    """Run a command and take what it cost, children included."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        process = subprocess.Popen(
            [*map(str, command)],
            stdout=out,
            stderr=err,
            cwd=cwd,
            env={**os.environ, "NO_COLOR": "1", **(environ or {})},
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = code = os.waitstatus_to_exitcode(status)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    cpu = usage.ru_utime + usage.ru_stime
    return Ran(wall, cpu, usage.ru_maxrss * 1024, code, *texts, {})


def launcher(text: str) -> list[str]:
    """Words that start several ranks, with ``{ranks}`` where their number goes.

    ``auto`` is srun inside a Slurm allocation, else ``mpiexec``: the one beside this Python, or
    the first on the PATH. Anything else is a template, such as ``srun --mpi=pmix -n {ranks}``.
    """
    if text == "auto":
        text = "srun" if "SLURM_JOB_ID" in os.environ and shutil.which("srun") else "mpiexec"
    if text == "srun":
        text = "srun --mpi=pmi2 -n {ranks}"
    if text == "mpiexec":
        beside = Path(sys.executable).with_name("mpiexec")
        return [str(beside) if beside.exists() else "mpiexec", "-n", "{ranks}"]
    if "{ranks}" not in text:
        raise click.BadParameter(f"the launcher {text!r} has no {{ranks}} in it")
    return shlex.split(text)


launcher_option = click.option(
    "--launcher",
    default="auto",
    show_default=True,
    help="mpiexec, srun, or a template: 'srun --mpi=pmix -n {ranks}'. auto: srun inside a Slurm "
    "allocation, else mpiexec.",
)


def python(*arguments: str | Path, ranks: int | None = None, by: str = "auto") -> list[str]:
    """The words of ``python ARGUMENTS``, alone, or on so many ranks."""
    words = [sys.executable, *map(str, arguments)]
    if ranks is None:
        return words
    return [w.replace("{ranks}", str(ranks)) for w in launcher(by)] + words


def run_program(
    settings: Settings,
    config: Path,
    images: Path,
    ranks: int | None = 1,
    by: str = "auto",
    environ: Mapping[str, str] | None = None,
    keep: Path | None = None,
    arguments: Sequence[str] = ("--no-report",),
) -> Ran:
    """Run the program on a folder of images, packed or not; its table is deleted, or ``keep``.

    By default without the report, which `report.py` measures.

    Raises
    ------
    click.ClickException
        It failed; with what it said.
    """
    out = keep or Path(tempfile.mkdtemp(prefix="table.", dir=settings.work)) / "out"
    paths = sorted(images.glob("*.h5")) or [images]
    words = ["-m", "scip_mpi", "run", config, *paths, "-o", out, "-q", *arguments]
    command = python(*words, ranks=ranks, by=by)
    try:
        ran = measure(command, environ)
        if ran.code != 0:
            raise click.ClickException(
                f"{shlex.join(command)}\nended with {ran.code}:\n{ran.stderr}"
            )
        told = json.loads((out / "run.json").read_text())
    finally:
        if keep is None:
            shutil.rmtree(out.parent)
    cpu = max(ran.cpu_s, sum(rank["cpu_s"] for rank in told["ranks"]))
    return replace(ran, cpu_s=cpu, run_json=told)


def warm(
    settings: Settings, config: Path, images: Path, ranks: int | None = 1, by: str = "auto"
) -> None:
    """One run, so that kernels are compiled and files and libraries in the page cache."""
    if not settings.quick:
        run_program(settings, config, images, ranks, by)


# Repeats and results


def shuffled(cases: Sequence[Case], repeats: int, seed: int = 0) -> Iterator[tuple[int, Case]]:
    """Every case once per repeat, in another order each time: what disturbs hits all alike."""
    rng = random.Random(seed)
    for k in range(repeats):
        for case in rng.sample(list(cases), len(cases)):
            yield k, case


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, smallest and largest."""
    return statistics.median(values), min(values), max(values)


def said(values: Sequence[float], digits: int = 3) -> str:
    """``median (smallest to largest)``, as tables say it."""
    middle, low, high = (f"{v:.{digits}g}" for v in spread(values))
    return f"{middle} ({low} to {high})" if len(values) > 1 else middle


def results_path(settings: Settings, name: str) -> Path:
    """Where the results of a benchmark go, without suffix; one per start of it."""
    settings.results.mkdir(parents=True, exist_ok=True)
    return settings.results / f"{name}_{time.strftime('%Y%m%d_%H%M%S')}"


def write_csv(path: Path, rows: Sequence[Row], libraries: Iterable[str] = LIBRARIES) -> Path:
    """Write rows, each with the machine's facts behind it, to ``path`` with ``.csv``."""
    facts = machine(libraries)
    columns = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    path = path.with_suffix(".csv")
    with path.open("w", newline="") as handle:
        table = csv.DictWriter(handle, [*columns, *facts])
        table.writeheader()
        for row in rows:
            table.writerow({k: _short(v) for k, v in row.items()} | facts)
    click.echo(f"\n{path}", err=True)
    return path


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def print_table(rows: Sequence[Row]) -> None:
    """Print rows as an aligned table, numbers to the right."""
    columns = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    cells = [[_cell(row.get(c, "")) for c in columns] for row in rows]
    widths = [max(len(x) for x in column) for column in zip(columns, *cells, strict=True)]
    numeric = [all(isinstance(r.get(c, 0), int | float) for r in rows) for c in columns]
    for line in [columns, ["-" * w for w in widths], *cells]:
        padded = (
            x.rjust(w) if right else x.ljust(w)
            for x, w, right in zip(line, widths, numeric, strict=True)
        )
        click.echo("  ".join(padded).rstrip())


def _cell(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def print_facts(libraries: Iterable[str] = LIBRARIES) -> None:
    """Say on what the figures were measured."""
    facts = machine(libraries)
    click.echo(f"{facts['date']}  {facts['machine']}, load {facts['load']}\n{facts['versions']}")


def optional(name: str) -> Any:
    """A library that may be missing, or None."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def pyplot() -> Any:
    """Matplotlib's pyplot without a screen; None, and a word about it, if it is not installed."""
    library = optional("matplotlib")
    if library is None:
        click.echo("no plot: pip install 'scip_mpi[bench]' brings matplotlib", err=True)
        return None
    library.use("Agg")
    return importlib.import_module("matplotlib.pyplot")
