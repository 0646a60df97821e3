"""Takes what the feature families cost, by the newest results of kernels.py, into the package."""

from __future__ import annotations

import csv
from pathlib import Path

from scip_mpi import registry
from scip_mpi.feature_list import COSTS

# What costs are measured by beside the cell, if not by the channel; and of what, if not of crops.
PER = {"shape": "mask", "neighbors": ""}
ON_FIELDS = ("neighbors",)
RESULTS = Path(__file__).parent / "results"


def costs(results: Path) -> list[dict[str, str]]:
    """A row per family that was measured, the newest result of each."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(results.glob("kernels_*.csv")):
        with path.open(newline="") as handle:
            rows = [r for r in csv.DictReader(handle) if r["who"] == "scip_mpi"]
        for row in rows:
            if row["given"] == ("field" if row["kernel"] in ON_FIELDS else "crops"):
                found[row["kernel"]] = {
                    "family": row["kernel"],
                    "us": f"{float(row['us']):.4g}",
                    "per": PER.get(row["kernel"], "channel"),
                    "date": row["date"],
                    "machine": row["machine"],
                }
    return [found[name] for name in registry.BUILT_IN["features"] if name in found]


def main() -> None:
    """Write the package's table of costs."""
    with COSTS.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(
            handle, ["family", "us", "per", "date", "machine"], lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(costs(RESULTS))


if __name__ == "__main__":
    main()
