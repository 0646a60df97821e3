"""Simulated white blood cells with known truth.

Twelve channels as an imaging flow cytometer would record them after staining against the panel of
SCIP's white blood cell example: two bright fields, side scatter, nine surface markers. The
brightness of markers by kind follows textbook immunophenotypes; shapes, optics and noise are
plain models that look the part and are no claim about any instrument. A cell depends on its seed
and number alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.errors import UserError

CHANNELS = (
    "BF1", "CD15", "Siglec8", "CD14", "CD19", "SSC", "CD3", "CD45", "BF2", "CD4", "CD56", "CD8",
)  # fmt: skip
BRIGHT_FIELDS = frozenset(["BF1", "BF2"])
# Sizes of images, and the 12 bits of the camera.
SMALLEST, LARGEST, WHITE = 48, 72, 4095
# Sizes that may be asked for: below, a cell is a few pixels only.
SIZES = (24, 1024)
# Pixels that an image is larger than its cell, at least.
MARGIN = 10
BACKGROUND = 1900.0
DARK = 30.0
# Every antibody sticks a little to every cell.
UNSPECIFIC = 15.0
# Variance of the noise: camera's reading noise, and photons at so many grey levels each.
READ_NOISE = 4.0
GAIN = 0.25
OUT_OF_FOCUS = 0.07
DOUBLETS = 0.04

Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class Kind:
    """One kind of cell.

    Attributes
    ----------
    share : float
        Part of all cells.
    radius : (float, float)
        Smallest and largest, pixels.
    lobes : int
        Lobes of the nucleus.
    granules : float
        Mean number of granules that scatter light, ``scatter`` grey levels each.
    texture : float
        Contrast of the cytoplasm in bright field.
    markers : dict of str to float
        Median brightness of the membrane, grey levels.
    """

    share: float
    radius: tuple[float, float]
    lobes: int
    granules: float
    scatter: float
    texture: float
    markers: dict[str, float]


KINDS = {
    "T_CD4": Kind(
        0.16, (9.0, 11.0), 1, 12, 500, 0.03, {"CD3": 900, "CD4": 1000, "CD45": 1500}
    ),
    "T_CD8": Kind(
        0.09, (9.0, 11.0), 1, 14, 500, 0.03, {"CD3": 850, "CD8": 1300, "CD45": 1500}
    ),
    "B": Kind(0.07, (9.0, 11.0), 1, 10, 500, 0.03, {"CD19": 900, "CD45": 1300}),
    "NK": Kind(
        0.05, (9.5, 12.0), 1, 25, 600, 0.045, {"CD56": 700, "CD8": 150, "CD45": 1400}
    ),
    "monocyte": Kind(
        0.09, (13.0, 16.0), 2, 45, 700, 0.06, {"CD14": 1400, "CD4": 200, "CD45": 1000}
    ),
    "neutrophil": Kind(
        0.44, (11.5, 14.0), 4, 110, 800, 0.08, {"CD15": 1500, "CD14": 60, "CD45": 500}
    ),
    "eosinophil": Kind(
        0.05, (11.5, 14.0), 2, 170, 1300, 0.12, {"Siglec8": 1000, "CD15": 600, "CD45": 700}
    ),
    "debris": Kind(0.05, (3.0, 5.5), 0, 6, 700, 0.05, {"CD45": 60}),
}  # fmt: skip


@dataclass(frozen=True)
class Outline:
    """Distance and direction of each pixel of an image to the outlines of its cells.

    Attributes
    ----------
    outside : ndarray, shape (H, W)
        Pixels to the nearest outline, negative inside.
    angle : ndarray, shape (H, W)
        Direction from the first cell's centre.
    bodies : list of (row, column, radius)
    """

    outside: Float32Array
    angle: Float32Array
    bodies: list[tuple[float, float, float]]


def cell(
    seed: int, number: int, channels: int = 12, size: int | None = None
) -> tuple[NDArray[np.uint16], dict[str, Any]]:
    """Simulate one cell.

    Parameters
    ----------
    seed, number : int
        They alone decide the cell, with the size.
    channels : int
        The first so many of `CHANNELS`, 1 to 12; the pixels of a channel do not depend on it.
    size : int, optional
        Height and width; a cell that does not fit is made smaller. By default just as large as the
        cell needs, and some more.

    Returns
    -------
    image : ndarray of uint16, shape (C, H, W)
        Grey levels of 12 bits, H and W between 48 and 72 if not given.
    truth : dict
        kind, in_focus, doublet, height, width, row and column (centre), radius, area (pixels
        inside the outline).
    """
    from scipy import ndimage

    names = CHANNELS[: checked(channels, size)]
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, number])))
    shares = np.cumsum([k.share for k in KINDS.values()])
    name = list(KINDS)[int(np.searchsorted(shares, rng.random() * shares[-1], "right"))]
    kind = KINDS[name]
    in_focus = bool(rng.random() >= OUT_OF_FOCUS)
    doublet = bool(rng.random() < DOUBLETS and name != "debris")
    outline = _outline(rng, kind, doublet, size)
    shape = outline.outside.shape
    inside = _step(outline.outside)

    contrast = _bright_field(rng, kind, outline, inside)
    scatter = _scatter(rng, kind, outline, inside)
    membrane = np.exp(-np.square((outline.outside + 1.2) / 1.5)) + 0.22 * inside
    clusters = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), 1.5)
    membrane *= np.clip(1 + 1.5 * clusters, 0.2, None)
    auto = rng.uniform(15, 35)
    signals = np.empty((len(CHANNELS), *shape), np.float32)
    for c, channel in enumerate(CHANNELS):
        # Drawn for every channel, so that one channel's cell does not depend on the others.
        level, phase, wobble = rng.lognormal(0, 0.4), rng.uniform(0, 2 * np.pi), rng.uniform(0, 1)
        if channel in BRIGHT_FIELDS:
            strength = 1.0 if channel == "BF1" else 0.85
            signals[c] = BACKGROUND * (1 + strength * contrast) * (0.97 + 0.06 * wobble)
        elif channel == "SSC":
            signals[c] = DARK + scatter * level
        else:
            patches = 1 + 0.35 * wobble * np.cos(2 * outline.angle + phase)
            bright = (UNSPECIFIC + kind.markers.get(channel, 0.0)) * level
            signals[c] = DARK + auto * inside + bright * membrane * patches
    signals = signals[: len(names)]
    if not in_focus:
        blur = rng.uniform(2.0, 3.0)
        signals = ndimage.gaussian_filter(signals, (0, blur, blur), mode="nearest")
    noise = rng.standard_normal(signals.shape, np.float32)
    noise *= np.sqrt(GAIN * signals + np.float32(READ_NOISE**2))
    image = np.clip(np.rint(signals + noise), 0, WHITE).astype(np.uint16)
    row, column, radius = outline.bodies[0]
    return image, {
        "kind": name,
        "in_focus": in_focus,
        "doublet": doublet,
        "height": shape[0],
        "width": shape[1],
        "row": round(row, 2),
        "column": round(column, 2),
        "radius": round(radius, 2),
        "area": int(np.count_nonzero(outline.outside < 0)),
    }


def checked(channels: int, size: int | None = None) -> int:
    """The number of channels, if there can be so many, in images of such a size.

    Raises
    ------
    UserError
        There cannot.
    """
    if not 1 <= channels <= len(CHANNELS):
        raise UserError(f"channels must be 1 to {len(CHANNELS)}, not {channels}")
    if size is not None and not SIZES[0] <= size <= SIZES[1]:
        raise UserError(f"the size must be {SIZES[0]} to {SIZES[1]} pixels, not {size}")
    return channels


def _step(outside: Float32Array) -> Float32Array:
    """1 inside, 0 outside, with an edge about two pixels wide."""
    return 1 / (1 + np.exp(np.clip(outside / np.float32(0.7), -30, 30)))


def _outline(rng: np.random.Generator, kind: Kind, doublet: bool, size: int | None) -> Outline:
    """Slightly irregular discs, one or two that touch, in an image that holds them."""
    radii = rng.uniform(*kind.radius, 2)
    direction = rng.uniform(0, 2 * np.pi)
    apart = 0.93 * radii.sum() if doublet else 0.0
    reach = np.abs([np.sin(direction), np.cos(direction)]) * apart + 2 * radii.max() + MARGIN
    low = np.clip(np.ceil(reach), SMALLEST, LARGEST).astype(int)
    height, width = (int(rng.integers(n, LARGEST + 1)) for n in low)
    if size is not None:
        height = width = size
        shrunk = min(1.0, (size - MARGIN) / (reach.max() - MARGIN))
        radii, apart = radii * shrunk, apart * shrunk
    step = np.array([np.sin(direction), np.cos(direction)]) * apart
    first = np.array([height, width]) / 2 - 0.5 - step / 2 + rng.uniform(-1.5, 1.5, 2)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    bodies = [(float(first[0]), float(first[1]), float(radii[0]))]
    if doublet:
        bodies.append((float(first[0] + step[0]), float(first[1] + step[1]), float(radii[1])))
    angle: Float32Array | None = None
    outside: Float32Array | None = None
    for row, column, radius in bodies:
        dy, dx = rows - np.float32(row), columns - np.float32(column)
        theta = np.arctan2(dy, dx)
        edge = np.full_like(theta, radius)
        for k, share in ((2, 0.06), (3, 0.03), (5, 0.015)):
            amplitude = np.float32(radius * share * rng.uniform())
            edge += amplitude * np.cos(k * theta + np.float32(rng.uniform(0, 2 * np.pi)))
        distance = np.sqrt(dy * dy + dx * dx) - edge
        outside = distance if outside is None else np.minimum(outside, distance)
        angle = theta if angle is None else angle
    assert outside is not None
    assert angle is not None
    return Outline(outside, angle, bodies)


def _bright_field(
    rng: np.random.Generator, kind: Kind, outline: Outline, inside: Float32Array
) -> Float32Array:
    """Relative change of transmitted light: dark edge, bright halo, nucleus and cytoplasm."""
    from scipy import ndimage

    d = outline.outside
    strength = 0.5 if kind.lobes == 0 else 1.0
    contrast = -0.30 * np.exp(-np.square(d / 1.3)) + 0.12 * np.exp(-np.square((d - 3.0) / 1.6))
    contrast += 0.10 * np.exp(-np.square((d + 3.5) / 1.8)) * inside
    grain = ndimage.gaussian_filter(rng.standard_normal(d.shape, np.float32), 1.2)
    contrast += kind.texture * inside * grain * np.float32(4.0)
    rows, columns = np.mgrid[: d.shape[0], : d.shape[1]].astype(np.float32)
    for row, column, radius in outline.bodies:
        turn = rng.uniform(0, 2 * np.pi)
        for lobe in range(kind.lobes):
            around = turn + 2 * np.pi * lobe / max(kind.lobes, 2)
            away = 0.0 if kind.lobes == 1 else 0.38 * radius
            size = radius * (0.72 if kind.lobes == 1 else 0.36)
            dy = rows - np.float32(row + away * np.sin(around))
            dx = columns - np.float32(column + away * np.cos(around))
            contrast -= 0.07 * _step(np.sqrt(dy * dy + dx * dx) - np.float32(size))
    return (strength * contrast).astype(np.float32)


def _scatter(
    rng: np.random.Generator, kind: Kind, outline: Outline, inside: Float32Array
) -> Float32Array:
    """Light scattered sideways: a haze, and one spot per granule."""
    from scipy import ndimage

    spots = np.zeros(inside.shape, np.float32)
    for row, column, radius in outline.bodies:
        n = int(rng.poisson(kind.granules)) + 1
        away = 0.85 * radius * np.sqrt(rng.random(n))
        around = rng.uniform(0, 2 * np.pi, n)
        at = (
            np.rint(row + away * np.sin(around)).astype(int),
            np.rint(column + away * np.cos(around)).astype(int),
        )
        np.add.at(spots, at, rng.exponential(kind.scatter, n).astype(np.float32))
    return ndimage.gaussian_filter(spots, 1.1) + 40 * inside
