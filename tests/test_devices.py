"""Which devices a rank sees: what it asks, and what it leaves alone."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest

from scip_mpi import devices
from scip_mpi.devices import DeviceLost, ask_driver, visible_devices


class Driver:
    """The five calls of the CUDA driver that are made, with answers of our own."""

    def __init__(self, uuids: list[bytes], code: int = 0, naming: int = 0) -> None:
        self.uuids = uuids
        self.code = code
        self.naming = naming

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self.code

    def cuDeviceGetCount(self, count) -> int:  # noqa: N802
        ctypes.cast(count, ctypes.POINTER(ctypes.c_int))[0] = len(self.uuids)
        return 0

    def cuDeviceGet(self, device, number: int) -> int:  # noqa: N802
        ctypes.cast(device, ctypes.POINTER(ctypes.c_int))[0] = 7 + number
        return 0

    def cuDeviceGetUuid_v2(self, uuid, device: ctypes.c_int) -> int:  # noqa: N802
        ctypes.memmove(uuid, self.uuids[device.value - 7], 16)
        return self.naming


@pytest.fixture
def with_driver(monkeypatch: pytest.MonkeyPatch, tmp_path):
    """A machine that has the driver's files, the driver given, and CuPy or not."""

    def install(driver: Driver | SimpleNamespace | None, cupy: bool = True) -> None:
        (tmp_path / "nvidiactl").touch()

        def load(name: str) -> Driver | SimpleNamespace:
            if driver is None:
                raise OSError("no such file")
            return driver

        monkeypatch.setattr(devices, "DEVICE_FILES", (str(tmp_path / "nvidiactl"),))
        monkeypatch.setattr(devices.ctypes, "CDLL", load)
        monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: cupy or None)

    return install


TWO = [bytes(range(16)), bytes(range(16, 32))]


def test_devices_have_names_that_all_ranks_agree_on(with_driver) -> None:
    with_driver(Driver(TWO))
    names, problem = visible_devices({})
    assert names == ("GPU-000102030405060708090a0b0c0d0e0f", "GPU-101112131415161718191a1b1c1d1e1f")
    assert problem == ""


@pytest.mark.parametrize("hidden", ["", " ", "-1", "NoDevFiles"])
def test_hidden_devices_are_not_asked_for(hidden: str, with_driver) -> None:
    with_driver(None)
    assert visible_devices({"CUDA_VISIBLE_DEVICES": hidden}) == ((), "")


def test_a_machine_without_the_driver_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "DEVICE_FILES", ("/nowhere/at/all",))
    assert visible_devices({}) == ((), "")


def test_what_is_wrong_is_said(with_driver) -> None:
    with_driver(None)
    assert "the CUDA driver cannot be loaded (no such file)" in visible_devices({})[1]
    with_driver(Driver(TWO, code=999))
    assert "does not work (error 999)" in visible_devices({})[1]
    with_driver(Driver(TWO, naming=3))
    assert "cannot name device 0 (error 3)" in visible_devices({})[1]
    with_driver(SimpleNamespace(cuInit=lambda flags: 0))
    assert "older than CUDA 12" in visible_devices({})[1]
    with_driver(Driver(TWO), cupy=False)
    names, problem = visible_devices({})
    assert names == ()
    assert "pip install 'scip_mpi[gpu]'" in problem


def test_a_driver_without_devices(with_driver) -> None:
    with_driver(Driver([], code=100))
    assert visible_devices({}) == ((), "")
    with pytest.raises(DeviceLost):
        ask_driver(Driver([], code=101))


def test_pretended_devices() -> None:
    asked = {"SCIP_MPI_FAKE_DEVICES": "2"}
    assert visible_devices(asked) == (("fake-0", "fake-1"), "")
    asked = {"SCIP_MPI_FAKE_DEVICES": "visible"}
    assert visible_devices(asked) == ((), "")
    assert visible_devices({**asked, "CUDA_VISIBLE_DEVICES": "3,0"}) == (("fake-3", "fake-0"), "")


def test_cupy_is_not_loaded_to_look() -> None:
    code = (
        "import sys; from scip_mpi.devices import visible_devices; visible_devices();"
        "import scip_mpi.run; print('cupy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
