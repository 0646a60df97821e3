"""Masks made on a GPU: the same bits as the CPU's, so that any device may take over from another.

`use` decides what is done when a device has no memory left or fails; `cuda` and `lane` run the
kernels, whose source (``kernels/``) is CUDA that a C++ compiler takes too, for tests without a GPU,
with what `recipes` has of a method's settings; `fake` stands for a device and calls the CPU's
functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Names of the mask methods that run on a device.
METHODS = ("li", "otsu", "sobel", "spot", "threshold", "watershed")
# The method that finds objects in fields there, by all its names.
FIELD_METHODS = ("watershed", "watershed_dapi")


def has_kernel(method: str, kwargs: Mapping[str, Any]) -> bool:
    """Whether a mask method with these settings runs on a device.

    Non-local means, which noisy channels go through, are scikit-image's.
    """
    return method in METHODS and not kwargs.get("noisy_channels")
