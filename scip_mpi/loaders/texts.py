"""Millions of texts in little memory: one buffer of UTF-8 and where in it each text lies.

A Python string costs some 50 bytes beside its letters; a path held here costs its letters and 8
bytes. Bytes of file names that are no UTF-8 are kept (surrogateescape).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import Int64Array, offsets_of

# Texts handled at once, where all of them would be too many.
PIECE = 1 << 14
# Fewer texts than this are as well kept as a list.
FEW = 4096

# A column of texts: codes into values; -1 is missing.
Categorical = tuple[NDArray[np.int32], Sequence[str]]


class Texts(Sequence[str]):
    """A sequence of texts that stands in one buffer; equal to any sequence of the same texts.

    Parameters
    ----------
    blob : bytes or bytearray
        UTF-8. It must not change afterwards.
    starts, ends : ndarray of int64, shape (n,)
        Where each text lies in it. Texts may overlap: those of a slice, or suffixes, need no bytes
        of their own.
    """

    def __init__(self, blob: bytes | bytearray, starts: Int64Array, ends: Int64Array) -> None:
        self.blob, self.starts, self.ends = blob, starts, ends

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """The same texts, compact."""
        if isinstance(texts, Texts):
            return texts
        builder = TextsBuilder()
        piece: list[bytes] = []
        for text in texts:
            piece.append(text.encode("utf-8", "surrogateescape"))
            if len(piece) == PIECE:
                builder.extend(piece)
                piece = []
        builder.extend(piece)
        return builder.texts()

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> Texts: ...
    def __getitem__(self, at: int | slice) -> str | Texts:
        if isinstance(at, slice):
            return Texts(self.blob, self.starts[at], self.ends[at])
        return self.blob[self.starts[at] : self.ends[at]].decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        blob = self.blob
        for lo in range(0, len(self), PIECE):
            starts, ends = (
                self.starts[lo : lo + PIECE].tolist(),
                self.ends[lo : lo + PIECE].tolist(),
            )
            for start, end in zip(starts, ends, strict=True):
                yield blob[start:end].decode("utf-8", "surrogateescape")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, (str, bytes)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:3]))
        return f"Texts([{shown}{', ...' if len(self) > 3 else ''}], n={len(self)})"

    def take(self, rows: Sequence[int] | Int64Array) -> Texts:
        """The texts ``rows``; their bytes are shared."""
        at = np.asarray(rows, np.int64)
        return Texts(self.blob, self.starts[at], self.ends[at])

    def suffixes(self, skipped: Int64Array | int) -> Texts:
        """The texts without so many of their first bytes; the bytes are shared."""
        return Texts(self.blob, self.starts + skipped, self.ends)

    def dense(self) -> Texts:
        """The same texts, one after the other in a buffer that holds nothing else."""
        edges = offsets_of(self.ends - self.starts)
        if not len(self):
            return Texts(b"", edges[:-1], edges[1:])
        if (self.starts[1:] == self.ends[:-1]).all():
            blob = bytes(self.blob[int(self.starts[0]) : int(self.ends[-1])])
            return Texts(blob, edges[:-1], edges[1:])
        letters = np.frombuffer(self.blob, np.uint8)
        parts = []
        # Eight bytes tell where each byte comes from: of all texts at once that would be too much.
        for lo in range(0, len(self), PIECE):
            own = edges[lo : lo + PIECE + 1]
            place = np.arange(own[0], own[-1])
            place += np.repeat(self.starts[lo : lo + PIECE] - own[:-1], np.diff(own))
            parts.append(letters[place].tobytes())
        return Texts(b"".join(parts), edges[:-1], edges[1:])

    def printable(self) -> Texts:
        """The same texts as UTF-8 holds them, dense; `printable` says what becomes of others."""
        held = self.dense()
        return held if held.is_utf8() else Texts.of(map(printable, held))

    def is_utf8(self) -> bool:
        """Whether each of these texts is; they must be dense."""
        if self.blob.isascii():
            return True
        try:
            self.blob.decode()
        except UnicodeDecodeError:
            return False
        # Two texts of which neither is may be together.
        first = np.frombuffer(self.blob, np.uint8)[self.starts[self.ends > self.starts]]
        return not bool(((first & 0xC0) == 0x80).any())

    def __reduce__(self) -> tuple[type[Texts], tuple[bytes, Int64Array, Int64Array]]:
        # A slice that travels takes its own bytes with it, not those of all texts.
        held = self.dense()
        return Texts, (bytes(held.blob), held.starts, held.ends)


class TextsBuilder:
    """Texts on their way into one buffer."""

    def __init__(self) -> None:
        self.blob = bytearray()
        self.edges = array("q", [0])

    def __len__(self) -> int:
        return len(self.edges) - 1

    def extend(self, texts: Sequence[bytes]) -> None:
        """Add texts in UTF-8."""
        edges = offsets_of(np.fromiter(map(len, texts), np.int64, len(texts)))
        self.edges.frombytes((edges[1:] + len(self.blob)).tobytes())
        self.blob += b"".join(texts)

    def append(self, texts: Texts) -> None:
        """Add texts as they lie in their buffer."""
        held = texts.dense()
        self.edges.frombytes((held.ends + len(self.blob)).tobytes())
        self.blob += held.blob

    def texts(self) -> Texts:
        """All that was added."""
        edges = np.frombuffer(self.edges, np.int64)
        return Texts(self.blob, edges[:-1], edges[1:])


class Categories:
    """Values of a column as they come, each as a code; texts that repeat are held once."""

    def __init__(self) -> None:
        self.lookup: dict[str, int] = {}
        self.codes = array("i")

    def add(self, value: str | None) -> None:
        """The next row's value; None is missing."""
        code = -1 if value is None else self.lookup.setdefault(value, len(self.lookup))
        self.codes.append(code)

    def finish(self) -> Categorical:
        """Codes into the sorted values, -1 where there is none; the column is used up."""
        values = sorted(self.lookup)
        place = np.empty(len(values) + 1, np.int32)
        place[-1] = -1
        codes = np.fromiter(map(self.lookup.__getitem__, values), np.int64, len(values))
        # The largest part of the memory, where every row has a value of its own.
        self.lookup = {}
        place[codes] = np.arange(len(values))
        return place[np.frombuffer(self.codes, np.int32)], compact(values)


def compact(texts: Sequence[str]) -> Sequence[str]:
    """Many texts in one buffer, few as the list that they are."""
    return texts if len(texts) < FEW else Texts.of(texts)


def printable(text: str) -> str:
    """Text that UTF-8 holds: bytes of file names that are none are written as escapes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def joined(texts: Sequence[str]) -> Iterator[bytes]:
    """Bytes that tell these texts from others: how many, then all letters and where each ends."""
    held = Texts.of(texts)
    yield np.int64(len(held)).tobytes()
    for lo in range(0, len(held), PIECE):
        part = held[lo : lo + PIECE].dense()
        yield bytes(part.blob)
        yield part.ends.tobytes()
