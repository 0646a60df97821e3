"""What a feature rank keeps between the passes: masks and pixels, in memory or in scratch."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from scip_mpi import disk
from scip_mpi.batches import ImageBatch, MaskBatch, UInt8Array, from_buffer
from scip_mpi.checkpoint.records import read_part
from scip_mpi.memory import MemoryAccount


@dataclass(frozen=True)
class Place:
    """Bytes of a file: of the spill file, which has no name, or of a journal."""

    path: Path | None
    offset: int
    size: int


Kept = UInt8Array | Place


@dataclass(frozen=True)
class Saved:
    """Where in a journal the masks of a chunk stand, and the notes on it."""

    masks: Place
    notes: Place


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

    def put(
        self,
        lo: int,
        masks: UInt8Array,
        notes: UInt8Array,
        pixels: ImageBatch | None,
        saved: Saved | None = None,
    ) -> None:
        """Keep the masks and notes of the chunk at ``lo``; its pixels only if they fit.

        Parameters
        ----------
        lo : int
        masks : ndarray of uint8
            A `MaskBatch`, by `to_buffer`.
        notes : ndarray of uint8
        pixels : ImageBatch, optional
        saved : Saved, optional
            Where masks and notes can be read again: then nothing is written to scratch.
        """
        self.chunks[lo] = self._keep("masks", masks, saved.masks if saved else None)
        self.noted[lo] = self._keep("notes", notes, saved.notes if saved else None)
        if pixels is not None and self.memory.reserve("pixels", pixels.pixels.nbytes):
            self.images[lo] = pixels

    def adopt(self, lo: int, saved: Saved) -> None:
        """Take over a chunk of an earlier start, which stays where it is."""
        self.chunks[lo], self.noted[lo] = saved.masks, saved.notes

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
        if not isinstance(held, Place):
            self.memory.release("masks", held.nbytes)
        if lo in self.images:
            self.memory.release("pixels", self.images.pop(lo).pixels.nbytes)

    def close(self) -> None:
        """Close the spill file, which removes it."""
        if self.spill is not None:
            self.spill.close()

    def _keep(self, purpose: str, buffer: UInt8Array, place: Place | None) -> Kept:
        if self.memory.reserve(purpose, buffer.nbytes):
            return buffer
        return self._spill(buffer) if place is None else place

    def _fetch(self, kept: Kept) -> UInt8Array:
        if not isinstance(kept, Place):
            return kept
        if kept.path is not None:
            return read_part(kept.path, kept.offset, kept.size)
        assert self.spill is not None
        return np.frombuffer(os.pread(self.spill.fileno(), kept.size, kept.offset), np.uint8)

    def _spill(self, buffer: UInt8Array) -> Place:
        if self.spill is None:
            folder = None if self.scratch is None else str(self.scratch)
            self.spill = tempfile.TemporaryFile(dir=folder, prefix="scip_mpi-")
        place = Place(None, self.spilled, buffer.nbytes)
        self.spilled = disk.write_at(self.spill.fileno(), buffer, self.spilled)
        return place
