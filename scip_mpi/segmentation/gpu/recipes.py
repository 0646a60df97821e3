"""What each mask method's kernel is given beside the pixels, and the kernels' source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import numpy as np

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch, Int64Array, UInt8Array, offsets_of
from scip_mpi.segmentation.bits import bit_offsets
from scip_mpi.segmentation.chain import MaskSet
from scip_mpi.segmentation.morphology import disc_half_widths
from scip_mpi.segmentation.planes import per_channel, scaling
from scip_mpi.segmentation.smoothing import gaussian_kernels, gaussian_weights, sigmas_of
from scip_mpi.segmentation.threshold import METHODS
from scip_mpi.segmentation.thresholds import BINS, LEVELS

SOURCES = (
    "blocks", "single", "components", "discs", "smoothing", "order", "planes", "flooding", "li",
    "otsu", "spot", "thresholds", "threshold", "sobel", "watershed", "settle", "measure", "fields",
)  # fmt: skip
# No multiplication may be fused with an addition: the CPU's kernels do not.
OPTIONS = ("-fmad=false", "-std=c++17")
C_TYPES = {
    "uint8": "unsigned char",
    "uint16": "unsigned short",
    "uint32": "unsigned int",
    "uint64": "unsigned long long",
    "int8": "signed char",
    "int16": "short",
    "int32": "int",
    "int64": "long long",
    "float32": "SinglePixel",
    "float64": "double",
}
# A kernel counts a plane's pixels in 32 bits, and has two numbers for each.
MOST_PIXELS = (1 << 30) - 1
# What one thread floods; a guess of where a CPU is faster, until a GPU was measured.
MOST_FLOODED = 1 << 16
# Bytes of a level of a histogram with its sums.
HISTOGRAM = 24
NO_NUMBERS: FloatArray = np.empty(0)
NO_PLACES: Int64Array = np.empty(0, np.int64)


def source(dtype: np.dtype[Any]) -> str:
    """The CUDA source of all kernels for one type of pixels."""
    pixel = C_TYPES[dtype.name]
    real = "Single" if dtype.name == "float32" else "double"
    # The difference of two signed integers may not fit their type.
    value = {"i": "long long", "f": real}.get(dtype.kind, pixel)
    defined = {
        "PIXEL": pixel,
        "VALUE": value,
        "REAL": real,
        "FLOATING": int(dtype.kind == "f"),
    }
    folder = files("scip_mpi.segmentation.gpu") / "kernels"
    parts = [f"#define {name} {text}\n" for name, text in defined.items()]
    parts += [(folder / f"{name}.cu").read_text(encoding="utf-8") for name in SOURCES]
    return "".join(parts)


@dataclass(frozen=True)
class Wanted:
    """What is to be measured of the masks of one set where they are made.

    Attributes
    ----------
    saturation : ndarray of float64, shape (C,)
        Value from which a pixel is saturated.
    summary : bool
        Whether images are summed up, by these masks as their foreground.
    channels : sequence of int
        Channels whose statistics are asked for.
    on_cpu : callable
        Measures a batch and its masks: the table that a device makes, shape (n, C, MEASURED).
    """

    saturation: FloatArray
    summary: bool
    channels: Sequence[int]
    on_cpu: Callable[[ImageBatch, UInt8Array], FloatArray]


@dataclass(frozen=True)
class Recipe:
    """What a kernel takes: settings as it reads them, and scratch for a block of threads.

    Attributes
    ----------
    numbers, weights : ndarray of float64
    starts : ndarray of int64
    scratch : callable
        Bytes for planes of so many pixels.
    most_pixels : int
        Of a plane; larger ones are left to the CPU.
    """

    scratch: Callable[[int], int]
    most_pixels: int = MOST_PIXELS
    numbers: FloatArray = field(default_factory=lambda: NO_NUMBERS)
    starts: Int64Array = field(default_factory=lambda: NO_PLACES)
    weights: FloatArray = field(default_factory=lambda: NO_NUMBERS)


def li(batch: ImageBatch, smooth: float | Sequence[float]) -> Recipe:
    """Scaling, and the half kernels of both Gaussians of each channel."""
    halves = []
    for sigma in sigmas_of(smooth, batch.channels, "li"):
        halves += [gaussian_weights(sigma), gaussian_weights(2 * sigma)]
    return Recipe(
        # Two planes, and the partial sums of a pairwise sum.
        scratch=lambda pixels: 8 * (2 * pixels + pixels // 4 + 64),
        numbers=np.array(scaling(batch.pixels.dtype)),
        starts=offsets_of(np.array([half.size for half in halves])),
        weights=np.concatenate(halves),
    )


def otsu(batch: ImageBatch) -> Recipe:
    """The half kernel of the Gaussian."""
    half = gaussian_weights(0.5)
    return Recipe(
        scratch=lambda pixels: 20 * pixels, numbers=np.array([half.size - 1.0]), weights=half
    )


def spot(batch: ImageBatch, spotsize: int) -> Recipe:
    """The disc."""
    return Recipe(
        scratch=lambda pixels: 16 * pixels,
        numbers=np.array([float(spotsize)]),
        starts=disc_half_widths(int(spotsize)),
    )


def threshold(
    batch: ImageBatch,
    method: str,
    value: float | Sequence[float] | None = None,
    percentile: float = 90.0,
    block_size: int = 35,
    offset: float = 0.0,
    smooth: float | Sequence[float] = 0.0,
    foreground: str = "bright",
) -> Recipe:
    """The settings in their order, a value for each channel, and the half kernels."""
    dtype = batch.pixels.dtype
    weights, starts = gaussian_kernels(sigmas_of(smooth, batch.channels, "threshold"))
    values = per_channel(0.0 if value is None else value, batch.channels, "value")
    levels = LEVELS if dtype.kind in "iu" and dtype.itemsize > 1 else BINS
    settings = [METHODS.index(method), percentile, block_size, offset, foreground == "dark", levels]
    return Recipe(
        scratch=lambda pixels: 8 * (3 * pixels + pixels // 4 + 64) + HISTOGRAM * levels,
        numbers=np.array([*settings, *values], np.float64),
        starts=starts,
        weights=weights,
    )


def sobel(batch: ImageBatch) -> Recipe:
    """Scaling."""
    return Recipe(
        scratch=lambda pixels: 16 * pixels + HISTOGRAM * BINS,
        numbers=np.array(scaling(batch.pixels.dtype)),
    )


def watershed(batch: ImageBatch, noisy_channels: Sequence[int] = ()) -> Recipe:
    """Scaling, and the disc; there are no noisy channels."""
    return Recipe(
        # Two planes, a histogram, and a queue in which each pixel has room three times.
        scratch=lambda pixels: (16 + 3 * 24) * pixels + HISTOGRAM * BINS,
        most_pixels=MOST_FLOODED,
        numbers=np.array([*scaling(batch.pixels.dtype), 2.0]),
        starts=disc_half_widths(2),
    )


# Numbers that the kernel `settle` gives of a plane.
FACTS = 5
# Any number of pixels, in limits of size.
UNLIMITED = 2.0**62


def settle(mask_set: MaskSet) -> Recipe:
    """Cleaning, and what is done about regions on the border."""
    own = mask_set.cleaning
    most = UNLIMITED if own.max_size is None else float(own.max_size)
    return Recipe(
        scratch=lambda pixels: 9 * pixels,
        numbers=np.array([
            float(own.opening), float(own.fill_holes), float(own.min_size), most,
            float(mask_set.border), float(own.largest_component),
        ]),
        starts=disc_half_widths(own.opening),
    )  # fmt: skip


# Numbers that the kernel `measure` gives of a plane: `summaries.image_summary`, then `measure_all`.
SUMMARY = 3
MEASURED = SUMMARY + 10


def measure(wanted: Wanted) -> Recipe:
    """For each channel what counts as saturated, and what is asked for."""
    asked = np.zeros((len(wanted.saturation), 3))
    asked[:, 0] = wanted.saturation
    asked[:, 1] = wanted.summary
    asked[list(wanted.channels), 2] = 1
    return Recipe(scratch=lambda pixels: 20 * pixels + 8 * 6, numbers=asked.reshape(-1))


RECIPES: Mapping[str, Callable[..., Recipe]] = {
    "li": li,
    "otsu": otsu,
    "sobel": sobel,
    "spot": spot,
    "threshold": threshold,
    "watershed": watershed,
}


def list_planes(batch: ImageBatch, enabled: BoolArray) -> tuple[Int64Array, Int64Array]:
    """The planes that a kernel works on.

    Returns
    -------
    ndarray of int64, shape (p, 5)
        Where each starts in the pixels, its height, width and channel, and where it starts in the
        packed masks.
    ndarray of int64, shape (p,)
        Its place in ``enabled``, flattened.
    """
    chosen = np.flatnonzero(enabled)
    image, channel = np.divmod(chosen, max(batch.channels, 1))
    height, width = batch.shapes[image, 1], batch.shapes[image, 2]
    at = batch.offsets[image] + channel * height * width
    packed = bit_offsets(batch.shapes)[image] + channel * -(-height * width // 8)
    return np.column_stack([at, height, width, channel, packed]), chosen
