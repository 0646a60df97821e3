"""What a feature rank keeps between the passes: masks and pixels, in memory or in scratch."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from scip_mpi.batches import ImageBatch, Int64Array, MaskBatch, UInt8Array, from_buffer, to_buffer
from scip_mpi.memory import MemoryAccount


@dataclass
class Held:
    """A chunk's masks: in memory, or at an offset of the spill file."""

    buffer: UInt8Array | None
    offset: int
    size: int
    pixels: ImageBatch | None
    pixel_bytes: int


class MaskStore:
    """Masks by chunk, bit-packed, and pixels as far as memory allows.

    Parameters
    ----------
    memory : MemoryAccount
        What it may keep in memory.
    scratch : Path, optional
        Folder of the spill file; the system's temporary folder by default. The file is unlinked
        when made, so that nothing stays behind.
    """

    def __init__(self, memory: MemoryAccount, scratch: Path | None = None) -> None:
        self.memory = memory
        self.scratch = scratch
        self.chunks: dict[int, Held] = {}
        self.spill: IO[bytes] | None = None
        self.spilled = 0

    def put(self, lo: int, masks: MaskBatch, pixels: ImageBatch | None) -> None:
        """Keep the masks of the chunk at ``lo``; its pixels only if they fit."""
        packed = to_buffer(masks)
        buffer: UInt8Array | None = packed
        size, offset = packed.nbytes, -1
        if not self.memory.reserve("masks", size):
            buffer, offset = None, self._spill(packed)
        kept = 0 if pixels is None else pixels.pixels.nbytes
        if pixels is None or not self.memory.reserve("pixels", kept):
            pixels, kept = None, 0
        self.chunks[lo] = Held(buffer, offset, size, pixels, kept)

    def masks(self, lo: int) -> MaskBatch:
        """The masks of the chunk at ``lo``."""
        held = self.chunks[lo]
        if held.buffer is not None:
            return from_buffer(MaskBatch, held.buffer)
        assert self.spill is not None
        data = os.pread(self.spill.fileno(), held.size, held.offset)
        return from_buffer(MaskBatch, np.frombuffer(data, np.uint8))

    def pixels(self, lo: int) -> ImageBatch | None:
        """The pixels of the chunk at ``lo``, if they were kept."""
        return self.chunks[lo].pixels

    def drop(self, lo: int) -> None:
        """The chunk is written: give its memory back."""
        held = self.chunks.pop(lo)
        if held.buffer is not None:
            self.memory.release("masks", held.size)
        self.memory.release("pixels", held.pixel_bytes)

    def starts(self) -> Int64Array:
        """The chunks held, in the order of the catalog."""
        return np.array(sorted(self.chunks), np.int64)

    def close(self) -> None:
        """Close the spill file, which removes it."""
        if self.spill is not None:
            self.spill.close()

    def _spill(self, buffer: UInt8Array) -> int:
        if self.spill is None:
            folder = None if self.scratch is None else str(self.scratch)
            self.spill = tempfile.TemporaryFile(dir=folder, prefix="scip_mpi-")
        offset = self.spilled
        data = memoryview(buffer)
        while data:
            written = os.pwrite(self.spill.fileno(), data, self.spilled)
            self.spilled += written
            data = data[written:]
        return offset
