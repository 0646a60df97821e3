"""Which GPUs a rank can see, found without loading CuPy or touching their memory.

The CUDA driver is asked, through its own library: it alone knows what ``CUDA_VISIBLE_DEVICES``, a
batch system's control groups and partitioned devices leave over, and it names each device, so that
ranks which see different ones under the same number are told apart. Machines without the driver's
device files are done with at once.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Pretended devices, for tests on machines without any: their number, or ``visible`` for those that
# CUDA_VISIBLE_DEVICES names. They run the CPU's code.
FAKE = "SCIP_MPI_FAKE_DEVICES"
VISIBLE = "CUDA_VISIBLE_DEVICES"
FAKE_PREFIX = "fake-"
# What the NVIDIA driver, or its counterpart in the Windows Subsystem for Linux, puts there.
DEVICE_FILES = ("/dev/nvidiactl", "/dev/dxg")
ADVICE = "pip install 'scip_mpi[gpu]' for CUDA 13; the README says what for CUDA 12"


class OutOfMemory(Exception):
    """A batch does not fit into the memory of a device; a smaller one may."""


class DeviceLost(Exception):
    """A device has failed for good."""


def visible_devices(environ: Mapping[str, str] = os.environ) -> tuple[tuple[str, ...], str]:
    """Names of the devices that this process can use, in the order of their numbers.

    Parameters
    ----------
    environ : mapping of str to str
        The environment.

    Returns
    -------
    tuple of str, str
        The names, which are the same for all processes of a node that see the same device; and why
        there are none although the machine has some, or an empty text.
    """
    if environ.get(FAKE):
        return pretended(environ), ""
    if environ.get(VISIBLE, "0").strip() in ("", "-1", "NoDevFiles"):
        return (), ""
    if not any(Path(file).exists() for file in DEVICE_FILES):
        return (), ""
    try:
        names = ask_driver(ctypes.CDLL("libcuda.so.1"))
    except OSError as error:
        return (), f"the CUDA driver cannot be loaded ({error})"
    except AttributeError as error:
        return (), f"the CUDA driver is older than CUDA 12 ({error})"
    except DeviceLost as error:
        return (), str(error)
    if names and importlib.util.find_spec("cupy") is None:
        return (), f"CuPy is not installed ({ADVICE})"
    return names, ""


def pretended(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the fake devices of a node."""
    asked = environ[FAKE].strip()
    listed = [v.strip() for v in environ.get(VISIBLE, "").split(",")]
    if asked == "visible":
        return tuple(FAKE_PREFIX + v for v in listed if v not in ("", "-1", "NoDevFiles"))
    return tuple(f"{FAKE_PREFIX}{k}" for k in range(int(asked)))


def ask_driver(driver: Any) -> tuple[str, ...]:
    """Unique names of the devices that the CUDA driver shows to this process.

    Parameters
    ----------
    driver : ctypes.CDLL
        The driver's library.

    Raises
    ------
    DeviceLost
        The driver answers with an error.
    """
    count = ctypes.c_int()
    code = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    # 100: the driver works, and there is no device.
    if code == 100:
        return ()
    if code:
        raise DeviceLost(f"the CUDA driver does not work (error {code})")
    names = []
    for k in range(count.value):
        device = ctypes.c_int()
        uuid = (ctypes.c_ubyte * 16)()
        code = driver.cuDeviceGet(ctypes.byref(device), k)
        # The second version tells the parts of a partitioned device apart.
        code = code or driver.cuDeviceGetUuid_v2(ctypes.byref(uuid), device)
        if code:
            raise DeviceLost(f"the CUDA driver cannot name device {k} (error {code})")
        names.append("GPU-" + bytes(uuid).hex())
    return tuple(names)
