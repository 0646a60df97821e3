"""Numbers written out for millions of rows at once, without a Python string for each."""

from __future__ import annotations

import numpy as np

from scip_mpi.batches import BoolArray, Int64Array, UInt8Array, offsets_of
from scip_mpi.loaders.texts import Texts


def spelled(*parts: Int64Array | str) -> Texts:
    """A text for each row: numbers in decimal, and between them what is the same in all rows.

    Parameters
    ----------
    parts : ndarray of int64, shape (n,), or str
        One after the other; at least one is an array.
    """
    n = next(len(p) for p in parts if not isinstance(p, str))
    held = [p.encode() if isinstance(p, str) else np.asarray(p, np.int64) for p in parts]
    ends = np.cumsum([len(p) if isinstance(p, bytes) else _width(p) for p in held])
    letters = np.empty((n, int(ends[-1])), np.uint8)
    used: BoolArray = np.ones(letters.shape, bool)
    start = 0
    for part, end in zip(held, ends.tolist(), strict=True):
        place = slice(start, end)
        if isinstance(part, bytes):
            letters[:, place] = np.frombuffer(part, np.uint8)
        else:
            _write_digits(part, letters[:, place], used[:, place])
        start = end
    edges = offsets_of(used.sum(axis=1))
    return Texts(letters[used].tobytes(), edges[:-1], edges[1:])


def numbered(texts: Texts, numbers: Int64Array, chosen: BoolArray) -> Texts:
    """The texts, those that are ``chosen`` with ``#number`` behind them."""
    behind = spelled("#", numbers)
    own = texts.dense()
    starts = np.stack([own.starts, behind.starts + len(own.blob)], axis=1)
    ends = np.stack([own.ends, behind.ends + len(own.blob)], axis=1)
    ends[~chosen, 1] = starts[~chosen, 1]
    both = Texts(bytes(own.blob + behind.blob), starts.reshape(-1), ends.reshape(-1)).dense()
    return Texts(both.blob, both.starts[::2], both.ends[1::2])


def _width(values: Int64Array) -> int:
    """Letters of the longest number."""
    return max(len(str(values.min(initial=0))), len(str(values.max(initial=0))))


def _write_digits(values: Int64Array, letters: UInt8Array, used: BoolArray) -> None:
    """Decimal digits, and a sign before negative numbers, right-aligned; which places are used."""
    negative = values < 0
    # The magnitude of the least int64 is no int64.
    left = np.where(negative, -values.view(np.uint64), values.view(np.uint64))
    if letters.shape[1] < 10:
        left = left.astype(np.uint32)
    for k in reversed(range(letters.shape[1])):
        used[:, k] = left > 0
        rest = left // 10
        letters[:, k] = left - rest * 10 + ord("0")
        left = rest
    used[:, -1] = True
    row = np.flatnonzero(negative)
    sign = used[row].argmax(axis=1) - 1
    letters[row, sign] = ord("-")
    used[row, sign] = True
