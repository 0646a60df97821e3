"""All that the report is made of, read from OUT: some 100 MB of a table of any length."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scip_mpi.batches import BoolArray, Int64Array
from scip_mpi.report.choice import Choice, choose
from scip_mpi.report.images import Discarded, Images, read_discarded, read_images
from scip_mpi.report.rules import Rule, rules_in
from scip_mpi.report.sample import Sample, read_columns, read_sample

# Failures that are listed; all are counted.
LISTED = 1000


@dataclass(frozen=True)
class Failures:
    """Images that could not be processed.

    Attributes
    ----------
    total : int
    rows : list of (str, str, str)
        Image, stage and error of the first `LISTED`.
    stages : dict of str to int
        How many in each stage.
    """

    total: int
    rows: list[tuple[str, str, str]]
    stages: dict[str, int]


@dataclass(frozen=True)
class Facts:
    """What a finished run left.

    Attributes
    ----------
    out, table : Path
    told : dict
        run.json.
    groups : list of str
        By the codes of the filter's bounds.
    channels, sets : list of str
        Mask sets; an empty name without masking.
    sample : Sample
    choice : Choice
    images : Images
    discarded : Discarded
    rules : list of Rule
    failures : Failures
    """

    out: Path
    table: Path
    told: dict[str, Any]
    groups: list[str]
    channels: list[str]
    sets: list[str]
    sample: Sample
    choice: Choice
    images: Images
    discarded: Discarded
    rules: list[Rule]
    failures: Failures

    @property
    def group(self) -> Int64Array:
        """The group of each row of the sample, a code into ``groups``; -1 is missing."""
        codes, categories = self.sample.texts["group"]
        known = {name: k for k, name in enumerate(self.groups)}
        return np.array([*(known[name] for name in categories), -1])[codes]

    @property
    def good(self) -> BoolArray:
        """Rows of the sample that neither failed nor were discarded."""
        numbers = self.sample.numbers
        none = np.zeros(len(self.sample), bool)
        return ~(numbers.get("failed", none) | numbers.get("discarded", none))


def read_facts(out: Path, table: Path) -> Facts:
    """Read what a finished run left.

    Parameters
    ----------
    out : Path
    table : Path
        The HDF5 file in it.
    """
    told = json.loads((out / "run.json").read_text(encoding="utf-8"))
    channels, sets = list(told["channels"]), list(told["mask_sets"]) or [""]
    with h5py.File(table, locking=False) as file:
        columns = read_columns(file)
        total = len(file["X"])
        groups = [str(g) for g in file["obs/group/categories"].asstr()[()]]
    choice = choose(columns, channels, sets, total)
    codes = {name: k for k, name in enumerate(groups)}
    return Facts(
        out=out,
        table=table,
        told=told,
        groups=groups,
        channels=channels,
        sets=sets,
        sample=read_sample(table, choice.all, columns),
        choice=choice,
        images=read_images(out / "images.parquet", channels),
        discarded=read_discarded(out / "discarded.parquet", codes, out / "images.parquet"),
        rules=rules_in(told["filter"]),
        failures=read_failures(out / "failures.csv"),
    )


def read_failures(path: Path) -> Failures:
    """Read failures.csv."""
    rows: list[tuple[str, str, str]] = []
    stages: Counter[str] = Counter()
    with path.open(newline="", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            stages[row["stage"]] += 1
            if len(rows) < LISTED:
                rows.append((row["image"], row["stage"], row["error"]))
    return Failures(stages.total(), rows, dict(stages.most_common()))
