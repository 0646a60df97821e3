"""The kernels' source in the hands of CUDA's own compiler, which needs no GPU."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from scip_mpi.segmentation.gpu.cuda import METHODS
from scip_mpi.segmentation.gpu.recipes import C_TYPES, OPTIONS, source

# What CuPy adds to the options that it is given.
CUPYS = ("-ftz=true", "--device-as-default-execution-space")


@pytest.fixture(scope="module")
def nvrtc() -> ctypes.CDLL:
    """The compiler's library, from the wheels nvidia-cuda-nvrtc or nvidia-cuda-nvrtc-cu12."""
    spec = importlib.util.find_spec("nvidia")
    folders = [] if spec is None else [Path(f) for f in spec.submodule_search_locations or ()]
    found = [f for folder in folders for f in folder.glob("*/lib/libnvrtc.so.1*")]
    if not found:
        pytest.skip("no NVRTC: pip install nvidia-cuda-nvrtc")
    return ctypes.CDLL(str(max(found)))


def compiled(nvrtc: ctypes.CDLL, code: str, options: tuple[str, ...]) -> str:
    """PTX of CUDA source; what the compiler says if it refuses it."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"k.cu", 0, None, None)
    given = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
    refused = nvrtc.nvrtcCompileProgram(program, len(options), given)
    what = "ProgramLog" if refused else "PTX"
    getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(nvrtc, f"nvrtcGet{what}")(program, text)
    assert not refused, text.value.decode()
    return text.value.decode()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", C_TYPES)
@pytest.mark.parametrize("arch", ["compute_80", "compute_90"])
def test_nothing_is_fused_or_flushed_to_zero(dtype: str, arch: str, nvrtc: ctypes.CDLL) -> None:
    text = compiled(nvrtc, source(np.dtype(dtype)), (*OPTIONS, *CUPYS, f"-arch={arch}"))
    assert not re.findall(r"\b(?:fma|mad)\.[a-z.]*f(?:32|64)", text)
    assert not re.findall(r"[a-z.]*\.f32", text)
    for name in (*METHODS, "settle", "measure", "find_parts", "place_seeds", "flood_parts"):
        assert f".entry {name}(" in text
    # A block may have 48 KiB of shared memory.
    sizes = re.findall(r"\.shared .*\[(\d+)\];", text)
    assert 0 < sum(map(int, sizes)) <= 48 * 1024
