"""Many cases against many targets, each in processes that may die of them.

    python tests/fuzz/campaign.py --cases 2000 [--first 0] [TARGET ...]

adds a row for each target to bench/results/fuzz.csv.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz.corpus import TARGETS

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "results" / "fuzz.csv"
FIELDS = ("date", "target", "first", "cases", "read", "failed", "refused", "escaped")


@dataclass
class Outcome:
    """How many cases ended how, and what escaped: case, file and what happened."""

    endings: Counter[str] = field(default_factory=Counter)
    escapes: list[str] = field(default_factory=list)


def attack(name: str, whole: Path, first: int, last: int, room: Path) -> Outcome:
    """Try the cases of a target; a process that dies is one case's ending, and another goes on."""
    outcome = Outcome()
    while first < last:
        report = room / f"{name}_{first}.txt"
        command = [sys.executable, str(Path(__file__).with_name("attack.py")), name, str(whole)]
        command += [str(first), str(last), str(report)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = report.read_text().splitlines() if report.exists() else []
        for line in lines:
            case, victim, ending = line.split("\t")
            if ending != "begun":
                first = int(case) + 1
                outcome.endings[ending.split(" ")[0].rstrip(":")] += 1
                if ending.startswith("escaped"):
                    outcome.escapes.append(f"{name} case {case}, {victim}: {ending}")
        if done.returncode == 0:
            break
        if not lines or not lines[-1].endswith("\tbegun"):
            raise RuntimeError(f"{' '.join(command)} cannot be run:\n{done.stderr[-2000:]}")
        case, victim, _ = lines[-1].split("\t")
        how = f"ended with {done.returncode}: {done.stderr[-1000:]}"
        outcome.escapes.append(f"{name} case {case}, {victim}: the process {how}")
        outcome.endings["escaped"] += 1
        first = int(case) + 1
    return outcome


def main() -> int:
    """Run a campaign; 1 if anything escaped."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("targets", nargs="*", default=list(TARGETS))
    words.add_argument("--cases", type=int, default=2000)
    words.add_argument("--first", type=int, default=0)
    words.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    chosen = words.parse_args()
    escapes: list[str] = []
    for name in chosen.targets:
        with tempfile.TemporaryDirectory() as room:
            whole = Path(room) / "whole"
            whole.mkdir()
            TARGETS[name].build(chosen.shared, whole)
            outcome = attack(name, whole, chosen.first, chosen.first + chosen.cases, Path(room))
        ends = outcome.endings
        print(f"{name}: {dict(ends)}", flush=True)
        for escape in outcome.escapes:
            print(f"  {escape}", flush=True)
        escapes += outcome.escapes
        new = not RESULTS.exists()
        with RESULTS.open("a", newline="") as stream:
            rows = csv.writer(stream)
            if new:
                rows.writerow(FIELDS)
            counts = [ends[e] for e in ("read", "failed", "refused", "escaped")]
            today = datetime.date.today().isoformat()
            rows.writerow([today, name, chosen.first, chosen.cases, *counts])
    return 1 if escapes else 0


if __name__ == "__main__":
    sys.exit(main())
