"""What can happen to a file: one small change of its bytes, or a few, by a seeded generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# What a number in a header is set to: none, few, most, and what overflows.
EXTREMES = (0, 1, 2, 8, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
# Most faults that are worth finding are in what stands first.
HEADER = 512

Mutation = Callable[[bytearray, np.random.Generator], bytearray]


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """The bytes after one to four changes."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        changed = MUTATIONS[rng.integers(len(MUTATIONS))](changed, rng)
    return bytes(changed)


def truncate(data: bytearray, rng: np.random.Generator) -> bytearray:
    """The file breaks off."""
    return data[: _place(data, rng)]


def flip(data: bytearray, rng: np.random.Generator) -> bytearray:
    """One to sixteen bits are wrong."""
    for _ in range(rng.integers(1, 17)):
        if data:
            data[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return data


def overwrite(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A stretch is noise, zeros or ones."""
    at, size = _place(data, rng), int(rng.integers(1, 65))
    noise = rng.integers(0, 256, size, np.uint8).tobytes()
    stretch = (noise, b"\0" * size, b"\xff" * size)[rng.integers(3)]
    end = min(at + size, len(data))
    data[at:end] = stretch[: end - at]
    return data


def set_number(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A number of two, four or eight bytes is set, as sizes, counts and offsets are."""
    size = (2, 4, 8)[rng.integers(3)]
    order = ("little", "big")[rng.integers(2)]
    values = (*EXTREMES, len(data), max(len(data) - 1, 0), _place(data, rng), 1 << 40, 1 << 62)
    value = values[rng.integers(len(values))] % (1 << 8 * size)
    at = _place(data, rng) & ~1
    end = min(at + size, len(data))
    data[at:end] = value.to_bytes(size, order)[: end - at]
    return data


def set_digits(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A number that is written out is another one."""
    places = [i for i, byte in enumerate(data[: 1 << 16]) if 48 <= byte <= 57]
    if places:
        at = places[rng.integers(len(places))]
        texts = (b"-1", b"0", b"1e400", b"nan", b"99999999999999999999", b"2147483648", b"\xff")
        data[at : at + 1] = texts[rng.integers(len(texts))]
    return data


def repeat(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A stretch stands there twice, and all behind it is moved."""
    at = _place(data, rng)
    stretch = data[at : at + int(rng.integers(1, 257))]
    return data[:at] + stretch + data[at:]


def remove(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A stretch is gone, and all behind it is moved."""
    at = _place(data, rng)
    del data[at : at + int(rng.integers(1, 257))]
    return data


def copy_within(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Eight bytes are those of another place, such as an offset that leads back."""
    at, source = _place(data, rng), _place(data, rng)
    end = min(at + 8, len(data))
    piece = data[source : source + end - at]
    data[at : at + len(piece)] = piece
    return data


def append(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Something follows the end."""
    return data + rng.integers(0, 256, int(rng.integers(1, 1025)), np.uint8).tobytes()


MUTATIONS: tuple[Mutation, ...] = (
    truncate, flip, overwrite, set_number, set_number, set_digits, repeat, remove, copy_within,
    append,
)  # fmt: skip


def _place(data: bytearray, rng: np.random.Generator) -> int:
    """Some byte; every other time one of the first."""
    end = len(data) if rng.integers(2) else min(len(data), HEADER)
    return int(rng.integers(max(end, 1)))
