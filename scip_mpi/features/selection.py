"""Selections: which of a family's columns are asked for, and where each of them goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import BoolArray, Int64Array
from scip_mpi.errors import UserError


@dataclass(frozen=True)
class Part:
    """Some columns of a family, by their place, of some channels.

    Attributes
    ----------
    columns : tuple of int
        Places among the columns that the family has for each channel (or mask).
    channels : tuple of int, optional
        Places of the channels; all by default.
    combined : bool
        For a family with columns of the combined mask alone: those, and of no channel.
    extra : bool
        Whether the full family lacks these columns.
    """

    columns: tuple[int, ...]
    channels: tuple[int, ...] | None = None
    combined: bool = False
    extra: bool = False


def wanted(parts: Sequence[Part], channels: int, columns: int) -> BoolArray:
    """Which columns are asked for, shape (1 + channels, columns); the combined mask's come first.

    Raises
    ------
    UserError
        There are not as many channels.
    """
    found = np.zeros((channels + 1, columns), bool)
    for part in parts:
        if part.combined:
            rows = [0]
        elif part.channels is None:
            rows = list(range(1, channels + 1))
        else:
            rows = [c + 1 for c in part.channels]
            if rows and max(rows) > channels:
                raise UserError(f"no channel {max(rows) - 1}: there are {channels}")
        found[np.ix_(rows, part.columns)] = True
    return found


def places(chosen: BoolArray) -> Int64Array:
    """Running number of each column asked for, in C order; -1 for the others."""
    numbers = np.cumsum(chosen.reshape(-1)).reshape(chosen.shape) - 1
    return np.where(chosen, numbers, -1).astype(np.int64)


def pick(given: Sequence[str] | None, known: Sequence[str], what: str) -> list[int]:
    """Places of words among those known; all where none are given.

    Raises
    ------
    UserError
        A word is not known, or the list is empty.
    """
    if given is None:
        return list(range(len(known)))
    strange = [w for w in given if w not in known]
    if strange:
        raise UserError(f"unknown {what} {strange[0]!r}: known are {', '.join(known)}")
    if not given:
        raise UserError(f"{what}: an empty list selects nothing; leave it out for all")
    return [i for i, word in enumerate(known) if word in given]


def channel_places(channels: Sequence[int | str] | None) -> tuple[int, ...] | None:
    """Channels as places.

    Raises
    ------
    UserError
        A channel is given by name, which only a config knows; or the list is empty.
    """
    if channels is None:
        return None
    if not channels:
        raise UserError("channels: an empty list selects nothing; leave it out for all")
    found = []
    for channel in channels:
        if isinstance(channel, str) or channel < 0:
            raise UserError(f"channels are given by place, from 0, not {channel!r}")
        found.append(channel)
    return tuple(found)


def chosen_channels(channels: tuple[int, ...] | None, count: int) -> Int64Array:
    """Places of the channels asked for, ascending and each once; all where none are given.

    Raises
    ------
    UserError
        There are not as many channels.
    """
    if channels is None:
        return np.arange(count, dtype=np.int64)
    found = np.unique(np.array(channels, np.int64))
    if found[-1] >= count:
        raise UserError(f"no channel {found[-1]}: there are {count}")
    return found


def windows(boxes: Int64Array) -> Int64Array:
    """Bounding boxes of masks, shape (m, 4), with no rows and columns where there is no mask."""
    return np.ascontiguousarray(np.maximum(boxes, 0))


def exact_sums(dtype: np.dtype[np.generic]) -> bool:
    """Whether sums of pixels of a type are exact in any order: whole numbers of 8 or 16 bits."""
    return dtype.kind in "iu" and dtype.itemsize <= 2


def any_of(chosen: BoolArray, columns: Sequence[int]) -> NDArray[np.uint8]:
    """Whether any of some columns is asked for, along the last axis, as kernels take it."""
    return np.asarray(chosen[..., list(columns)].any(axis=-1), np.uint8)
