"""The CUDA device."""

from __future__ import annotations

from typing import Any

import numpy as np

from scip_mpi.devices import DeviceLost


class CudaDevice:
    """A device without kernels: not to be used yet."""

    name = ""

    def __init__(self, number: int, dtype: np.dtype[Any]) -> None:
        raise DeviceLost("there are no kernels for it yet")

    def masks(self, *arguments: Any) -> Any:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
