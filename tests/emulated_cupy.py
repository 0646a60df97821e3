"""As much of CuPy as `scip_mpi.segmentation.gpu.cuda` uses, on the CPU.

Kernels are compiled by g++ behind ``emulation.cpp``. What is put on a stream is done only when
somebody waits for the stream, so that a buffer used too early or again too soon shows.
"""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

SHIM = Path(__file__).with_name("emulation.cpp")
FLAGS = ("-O2", "-ffp-contract=off", "-std=c++17", "-shared", "-fPIC", "-w")
COMPILER = shutil.which("g++")


class OutOfMemoryError(MemoryError):
    pass


class CUDARuntimeError(RuntimeError):
    def __init__(self, status: int) -> None:
        super().__init__(f"CUDA error {status}")
        self.status = status


class CUDADriverError(RuntimeError):
    def __init__(self, status: int) -> None:
        super().__init__(f"CUDA driver error {status}")
        self.status = status


class CompileException(Exception):
    pass


class EmulatedCupy:
    """The module, with a folder for compiled kernels and knobs for what may differ or fail.

    Attributes
    ----------
    memory : int
        Bytes of the device.
    threads : int or None
        In place of the number of threads that a launch asks for.
    descending : bool
        The order of a block's threads.
    failing : Exception or None
        Raised by the next launch.
    """

    def __init__(self, folder: Path, memory: int = 1 << 30, threads: int | None = 16) -> None:
        self.folder = folder
        self.memory = memory
        self.threads = threads
        self.descending = False
        self.failing: Exception | None = None
        self.held = 0
        self.launches = 0
        self.current: Stream | None = None
        self.cuda = SimpleNamespace(
            Device=lambda number: SimpleNamespace(use=lambda: None),
            Stream=lambda non_blocking: Stream(self),
            alloc_pinned_memory=bytearray,
            runtime=SimpleNamespace(
                CUDARuntimeError=CUDARuntimeError,
                getDeviceProperties=lambda n: {"name": b"emulated", "multiProcessorCount": 1},
            ),
            driver=SimpleNamespace(CUDADriverError=CUDADriverError),
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            compiler=SimpleNamespace(CompileException=CompileException),
        )

    def empty(self, size: int, dtype: type) -> Array:
        return Array(self, np.full(size, 0xA5, dtype))

    def get_default_memory_pool(self) -> SimpleNamespace:
        return SimpleNamespace(free_all_blocks=lambda: None)

    def get_default_pinned_memory_pool(self) -> SimpleNamespace:
        return SimpleNamespace(free_all_blocks=lambda: None)

    def RawModule(self, code: str, options: tuple[str, ...]) -> SimpleNamespace:  # noqa: N802
        assert "-fmad=false" in options
        text = SHIM.read_text() + code
        library = self.folder / (hashlib.sha256(text.encode()).hexdigest()[:16] + ".so")
        if not library.is_file():
            assert COMPILER is not None
            code_file = library.with_suffix(".cpp")
            code_file.write_text(text)
            command = [COMPILER, *FLAGS, str(code_file), "-o", str(library)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise CompileException(done.stderr)
        return SimpleNamespace(
            get_function=lambda name: self._kernel(ctypes.CDLL(str(library)), name)
        )

    def _kernel(self, library: ctypes.CDLL, name: str) -> Callable[..., None]:
        entry = ctypes.cast(getattr(library, name), ctypes.c_void_p)

        def kernel(grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...]) -> None:
            if self.failing is not None:
                error, self.failing = self.failing, None
                raise error
            numbers = [a.data.address if isinstance(a, Array) else int(a) for a in arguments]
            table = (ctypes.c_longlong * 11)(*numbers)

            def run() -> None:
                threads = self.threads or block[0]
                order = int(self.descending)
                assert library.launch(entry, grid[0], threads, order, table) == 0
                self.launches += 1

            assert self.current is not None
            self.current.put(run, arguments)

        return kernel


class Stream:
    """What was put on it, until somebody waits."""

    def __init__(self, module: EmulatedCupy) -> None:
        self.module = module
        self.work: list[tuple[Callable[[], Any], Any]] = []

    def put(self, task: Callable[[], Any], keep: Any = None) -> None:
        self.work.append((task, keep))

    def synchronize(self) -> None:
        for task, _ in self.work:
            task()
        self.work.clear()

    def __enter__(self) -> None:
        self.module.current = self

    def __exit__(self, *error: object) -> None:
        self.module.current = None


class Array:
    """Memory of the device."""

    def __init__(self, module: EmulatedCupy, values: np.ndarray, own: bool = True) -> None:
        self.module = module
        self.values = values
        self.own = own
        self.size = values.size
        self.data = Pointer(values)
        if own:
            if module.held + values.nbytes > module.memory:
                self.own = False
                raise OutOfMemoryError(f"{values.nbytes:,} bytes")
            module.held += values.nbytes

    def __getitem__(self, key: slice) -> Array:
        return Array(self.module, self.values[key], own=False)

    def __del__(self) -> None:
        if self.own:
            self.module.held -= self.values.nbytes


class Pointer:
    """Where an array's memory starts."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.address = values.ctypes.data

    def memset_async(self, value: int, size: int, stream: Stream) -> None:
        stream.put(lambda: ctypes.memset(self.address, value, size), self.values)

    def copy_from_host_async(self, address: int, size: int, stream: Stream) -> None:
        stream.put(lambda: ctypes.memmove(self.address, address, size), self.values)

    def copy_to_host_async(self, address: int, size: int, stream: Stream) -> None:
        stream.put(lambda: ctypes.memmove(address, self.address, size), self.values)
