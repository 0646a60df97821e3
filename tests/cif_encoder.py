"""Writes CIF files from the public words about them, for tests only."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

IN_USE = "ChannelInUseIndicators_0_11"


def number_nibbles(value: int) -> list[int]:
    """One number in groups of three bits, least significant first, with marks and a sign."""
    groups: list[int] = []
    while True:
        groups.append(value & 7)
        value >>= 3
        # The last group's highest bit is the sign.
        if value == (-1 if groups[-1] & 4 else 0):
            return [g | 8 for g in groups[:-1]] + groups[-1:]


def compress_image(plane: np.ndarray) -> bytes:
    """Compression 30817 of a plane of int16."""
    padded = np.pad(plane.astype(np.int64), ((1, 0), (1, 0)))
    numbers = padded[1:, 1:] - padded[:-1, 1:] - padded[1:, :-1] + padded[:-1, :-1]
    nibbles = [n for v in numbers.ravel().tolist() for n in number_nibbles(v)]
    nibbles += [0] * (len(nibbles) % 2)
    return bytes(lo | hi << 4 for lo, hi in zip(nibbles[::2], nibbles[1::2], strict=True))


def compress_mask(plane: np.ndarray) -> bytes:
    """Compression 30818 of a plane of uint8."""
    flat, out, at = plane.ravel(), bytearray(), 0
    while at < len(flat):
        end = at + 1
        while end < len(flat) and end - at < 256 and flat[end] == flat[at]:
            end += 1
        out += bytes([flat[at], end - at - 1])
        at = end
    return bytes(out)


class Writer:
    """A file in the making: directories are chained in the order in which they are added."""

    def __init__(self, order: str = "<") -> None:
        self.order = order
        magic = b"II*\0" if order == "<" else b"MM\0*"
        self.data = bytearray(magic + bytes(4))
        self.link = 4

    def put(self, data: bytes) -> int:
        """Bytes somewhere; where."""
        at = len(self.data)
        self.data += data + bytes(len(data) % 2)
        return at

    def directory(self, tags: dict[int, bytes | list[int]]) -> None:
        """A directory: texts, and numbers of 32 bits."""
        entries = b""
        for tag, value in sorted(tags.items()):
            text = isinstance(value, bytes)
            raw = value if text else struct.pack(f"{self.order}{len(value)}I", *value)
            inline = raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack(
                self.order + "I", self.put(raw))  # fmt: skip
            entries += struct.pack(self.order + "HHI", tag, 2 if text else 4, len(value)) + inline
        at = self.put(struct.pack(self.order + "H", len(tags)) + entries + bytes(4))
        struct.pack_into(self.order + "I", self.data, self.link, at)
        self.link = at + 2 + len(entries)

    def picture(self, kind: int, number: int, planes: np.ndarray, stored: str, strips: int) -> None:
        """An image (2) or mask (3) of an object, shape (C, H, W)."""
        c, h, w = planes.shape
        plane = planes.transpose(1, 0, 2).reshape(h, c * w)
        if stored == "plain":
            code, data = 1, plane.astype("<i2" if kind == 2 else "u1").tobytes()
        elif kind == 2:
            code, data = 30817, compress_image(plane)
        else:
            code, data = 30818, compress_mask(plane)
        step = -(-len(data) // strips)
        parts = [data[k : k + step] for k in range(0, len(data), step)]
        self.directory({
            256: [c * w], 257: [h], 258: [16 if kind == 2 else 8], 259: [code],
            273: [self.put(p) for p in parts], 279: [len(p) for p in parts],
            33002: [kind], 33003: [number],
        })  # fmt: skip


def write_cif(
    path: Path,
    images: list[np.ndarray],
    masks: list[np.ndarray | None] | None = None,
    names: list[str] | None = None,
    in_use: str | None = None,
    order: str = "<",
    stored: str = "compressed",
    strips: int = 1,
    masks_first: bool = False,
) -> str:
    """A file of objects, shape (C, H, W) each."""
    channels = len(images[0])
    in_use = in_use or " ".join("1" * channels)
    writer = Writer(order)
    head: dict[int, bytes | list[int]] = {
        33000: [12], 33002: [1], 33018: [len(images)],
        33027: f"<Assay><Imaging><{IN_USE}>{in_use}</{IN_USE}></Imaging></Assay>".encode() + b"\0",
    }  # fmt: skip
    if names:
        head[33007] = "|".join(names).encode() + b"\0"
    writer.directory(head)
    pictures = [(2, k, image) for k, image in enumerate(images)]
    given = [(3, k, mask) for k, mask in enumerate(masks or []) if mask is not None]
    both = given + pictures
    if not masks_first:
        both = sorted(both, key=lambda p: (p[1], p[0]))
    for kind, number, planes in both:
        writer.picture(kind, number, planes, stored, strips)
    path.write_bytes(writer.data)
    return str(path)
