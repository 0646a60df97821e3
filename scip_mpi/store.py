"""What a feature rank keeps between the passes: masks and pixels, in memory or in scratch."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from scip_mpi.batches import ImageBatch, MaskBatch, UInt8Array, from_buffer, to_buffer
from scip_mpi.memory import MemoryAccount


@dataclass(frozen=True)
class Kept:
    """A buffer: in memory, or at an offset of the spill file."""

    buffer: UInt8Array | None
    offset: int
    size: int


def scratch_problem(scratch: Path | None) -> str:
    """Why no spill file can be made in the folder that was given for it; "" if one can."""
    try:
        if scratch is not None:
            tempfile.TemporaryFile(dir=scratch, prefix="scip_mpi-").close()
    except OSError as error:
        return f"{scratch} cannot be written: {error.strerror}"
    return ""


class MaskStore:
    """What is kept of each chunk: bit-packed masks and notes, and pixels as far as memory allows.

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
        self.chunks: dict[int, Kept] = {}
        self.noted: dict[int, Kept] = {}
        self.images: dict[int, ImageBatch] = {}
        self.spill: IO[bytes] | None = None
        self.spilled = 0

    def put(self, lo: int, masks: MaskBatch, notes: UInt8Array, pixels: ImageBatch | None) -> None:
        """Keep the masks and notes of the chunk at ``lo``; its pixels only if they fit."""
        self.chunks[lo] = self._keep("masks", to_buffer(masks))
        self.noted[lo] = self._keep("notes", notes)
        if pixels is not None and self.memory.reserve("pixels", pixels.pixels.nbytes):
            self.images[lo] = pixels

    def masks(self, lo: int) -> MaskBatch:
        """The masks of the chunk at ``lo``."""
        return from_buffer(MaskBatch, self._fetch(self.chunks[lo]))

    def notes(self, lo: int) -> UInt8Array:
        """The notes on the chunk at ``lo``, which stay when it is dropped."""
        return self._fetch(self.noted[lo])

    def pixels(self, lo: int) -> ImageBatch | None:
        """The pixels of the chunk at ``lo``, if they were kept."""
        return self.images.get(lo)

    def drop(self, lo: int) -> None:
        """The chunk is written: give the memory of its masks and pixels back."""
        held = self.chunks.pop(lo)
        if held.buffer is not None:
            self.memory.release("masks", held.size)
        if lo in self.images:
            self.memory.release("pixels", self.images.pop(lo).pixels.nbytes)

    def close(self) -> None:
        """Close the spill file, which removes it."""
        if self.spill is not None:
            self.spill.close()

    def _keep(self, purpose: str, buffer: UInt8Array) -> Kept:
        if self.memory.reserve(purpose, buffer.nbytes):
            return Kept(buffer, -1, buffer.nbytes)
        return Kept(None, self._spill(buffer), buffer.nbytes)

    def _fetch(self, kept: Kept) -> UInt8Array:
        if kept.buffer is not None:
            return kept.buffer
        assert self.spill is not None
        return np.frombuffer(os.pread(self.spill.fileno(), kept.size, kept.offset), np.uint8)

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
