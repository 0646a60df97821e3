"""From the name of a device to the device."""

from __future__ import annotations

from typing import Any

import numpy as np

from scip_mpi.devices import FAKE_PREFIX
from scip_mpi.segmentation.gpu.use import Device


def open_device(name: str, number: int, dtype: np.dtype[Any]) -> Device:
    """Make a device ready for batches.

    Parameters
    ----------
    name : str
        As `scip_mpi.devices.visible_devices` has it.
    number : int
        Its place there.
    dtype : numpy.dtype
        Type of the pixels that will come.

    Raises
    ------
    DeviceLost, OutOfMemory
        The device cannot be used.
    """
    if name.startswith(FAKE_PREFIX):
        from scip_mpi.segmentation.gpu.fake import FakeDevice

        return FakeDevice(name)
    from scip_mpi.segmentation.gpu.cuda import CudaDevice

    return CudaDevice(number, dtype)
