"""Writes CZI files from Zeiss' description of the format, for tests only."""

from __future__ import annotations

import struct
from pathlib import Path

import imagecodecs
import numpy as np

KINDS = {("|u1", 1): 0, ("<u2", 1): 1, ("<f4", 1): 2, ("|u1", 3): 3, ("<u2", 3): 4}
RAW, JPEGXR, ZSTD, ZSTD_PACKED = 0, 4, 5, 6


def segment(name: bytes, body: bytes) -> bytes:
    """A segment, filled up to a multiple of 32 bytes."""
    allocated = -(-len(body) // 32) * 32
    return struct.pack("<16sqq", name, allocated, len(body)) + body.ljust(allocated, b"\0")


def packed(pixels: np.ndarray, compression: int) -> bytes:
    """Pixels of a block, (H, W) or (H, W, 3) with red first, as they are stored."""
    stored = pixels[:, :, ::-1] if pixels.ndim == 3 else pixels
    raw = np.ascontiguousarray(stored).tobytes()
    if compression == RAW:
        return raw
    if compression == JPEGXR:
        return bytes(imagecodecs.jpegxr_encode(pixels, level=1.0))
    if compression == ZSTD:
        return bytes(imagecodecs.zstd_encode(raw))
    # The low bytes of all numbers, then the high ones.
    apart = np.frombuffer(raw, np.uint8).reshape(-1, 2).T.tobytes()
    return b"\x03\x01\x01" + bytes(imagecodecs.zstd_encode(apart))


def write_czi(
    path: Path,
    blocks: list[tuple[dict[str, int], np.ndarray]],
    xml: str = "",
    compression: int = RAW,
    pyramid: bool = False,
) -> str:
    """A file of blocks: where each is (T, C, Z, S, M, Y, X), and its pixels."""
    data = bytearray(segment(b"ZISRAWFILE", bytes(512)))
    entries = []
    for start, pixels in blocks:
        size = {"Y": pixels.shape[0], "X": pixels.shape[1]}
        kind = KINDS[pixels.dtype.str, 1 if pixels.ndim == 2 else pixels.shape[2]]
        for step in (1, 2) if pyramid else (1,):
            entry = struct.pack("<2siqiiBB4si", b"DV", kind, len(data), 0, compression,
                                step - 1, 0, b"", len(start))  # fmt: skip
            part = pixels[::step, ::step]
            stored = {"Y": part.shape[0], "X": part.shape[1]}
            for axis, first in start.items():
                whole = size.get(axis, 1)
                entry += struct.pack("<4siifi", axis.encode(), first, whole, 0.0,
                                     stored.get(axis, 1))  # fmt: skip
            entries.append(entry)
            own = packed(part, compression)
            metadata = b"<METADATA />"
            head = struct.pack("<iiq", len(metadata), 0, len(own)) + entry
            data += segment(b"ZISRAWSUBBLOCK", head.ljust(256, b"\0") + metadata + own)
    directory = len(data)
    head = struct.pack("<i", len(entries)).ljust(128, b"\0")
    data += segment(b"ZISRAWDIRECTORY", head + b"".join(entries))
    metadata_at = len(data)
    text = xml.encode()
    data += segment(b"ZISRAWMETADATA", struct.pack("<ii", len(text), 0).ljust(256, b"\0") + text)
    struct.pack_into("<ii", data, 32, 1, 0)
    struct.pack_into("<iqqiq", data, 80, 0, directory, metadata_at, 0, 0)
    path.write_bytes(data)
    return str(path)


def described(scenes: dict[int, str], channels: list[str], metres: float) -> str:
    """The XML of a file."""
    named = "".join(f'<Scene Index="{k}" Name="{n}"/>' for k, n in scenes.items())
    own = "".join(f'<Channel Id="Channel:{k}" Name="{n}"/>' for k, n in enumerate(channels))
    return (
        "<ImageDocument><Metadata><Information><Image><Dimensions>"
        f"<S><Scenes>{named}</Scenes></S><Channels>{own}</Channels></Dimensions></Image>"
        '</Information><Scaling><Items><Distance Id="X">'
        f"<Value>{metres}</Value></Distance></Items></Scaling></Metadata></ImageDocument>"
    )
