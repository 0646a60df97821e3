"""Simulated images of white blood cells with known truth, for trials, tests and benchmarks."""

from __future__ import annotations

from scip_mpi.simulation.cells import BRIGHT_FIELDS, CHANNELS, DARK, KINDS, LARGEST, SMALLEST, cell
from scip_mpi.simulation.files import COMPRESSIONS, FORMATS, config_text, write

__all__ = [
    "BRIGHT_FIELDS",
    "CHANNELS",
    "COMPRESSIONS",
    "DARK",
    "FORMATS",
    "KINDS",
    "LARGEST",
    "SMALLEST",
    "cell",
    "config_text",
    "write",
]
