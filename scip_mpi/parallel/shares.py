"""How many ranks that compute features should stand beside one that segments on a GPU."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """Seconds per image with so many feature ranks beside a segmenting rank.

    ``first`` and ``second`` are the passes, ``gain`` what the last rank brought: the share of the
    time that it saved.
    """

    features: int
    first: float
    second: float
    gain: float


def shares(gpu: float, hold: float, read: float, row: float, most: int = 64) -> list[Share]:
    """Seconds per image for 1, 2, ... feature ranks per GPU.

    In the first pass the segmenting rank reads and segments, image after image, and the feature
    ranks take its masks in; in the second all compute rows.

    Parameters
    ----------
    gpu, read : float
        Seconds of the segmenting rank to segment an image and to read it.
    hold : float
        Seconds of a feature rank to take an image's masks in.
    row : float
        Seconds of a row's features.
    """
    found: list[Share] = []
    before = float("inf")
    for features in range(1, most + 1):
        first = max(gpu + read, hold / features)
        second = row / (features + 1)
        total = first + second
        gain = 0.0 if before == float("inf") else 1 - total / before
        found.append(Share(features, first, second, gain))
        before = total
    return found


def best(found: list[Share], least: float = 0.02) -> Share:
    """The last number of feature ranks that each saved at least so much of the time."""
    chosen = found[0]
    for share in found[1:]:
        if share.gain < least:
            break
        chosen = share
    return chosen
