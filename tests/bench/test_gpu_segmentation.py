"""The benchmark of GPUs, at a tiny size, with kernels that a C++ compiler made for the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from emulated_cupy import EmulatedCupy

from scip_mpi.segmentation.gpu.cuda import CudaDevice

BENCH = Path(__file__).parents[2] / "bench"


def test_masks_and_labels_are_compared(
    emulated: EmulatedCupy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(BENCH)
    import gpu_segmentation as bench

    device = CudaDevice(0, np.dtype("u2"), emulated)
    batch = bench.cells(2, 40)
    rows = [bench.compare(device, method, batch, 1, 1) for method in bench.METHODS]
    rows.append(bench.compare_labels(device, bench.fields(2, 128), 1, 1))
    for row in rows:
        assert row["identical"]
        assert row["planes_left_to_cpu"] == 0
        assert row["images"] == 2
