"""The preset ``compact``: about a tenth of SCIP's columns, of which no two say nearly the same.

With N channels 23 N + 10 columns (286 for 12 channels, where the full set has 2495, and 132 of the
bare image); those of SCIP's set have its names and values.

Of the combined mask, and of each channel's own mask, of the component with the most pixels:

========================  ==========================================================================
``largest_area``          Size. Perimeters, axes, diameters, filled and convex area, and the sum of
                          bright field follow it.
``largest_eccentricity``  Elongation. Hu's second invariant is a function of it but for size.
``largest_solidity``      How far from convex.
``largest_extent``        How far it fills its bounding box.
``largest_moments_hu-0``  Spread of the pixels about the centroid for the area.
``largest_moments_hu-2``  Lopsidedness, threefold.
``largest_moments_hu-3``  Lopsidedness, onefold.
``largest_moments_hu-4``  The same two and the elongation in one, as are the next.
``largest_moments_hu-5``
``largest_moments_hu-6``  Changes sign in a mirror.
========================  ==========================================================================

Of each channel's pixels in its own mask:

================================  ==================================================================
``bgcorr_sum``                    All light of the channel, less the background. Means and medians,
                                  corrected or not, and the sum follow it.
``max``                           The brightest pixel. std and the gradient's mean, std and max
                                  follow it.
``mad``                           Spread, little moved by few pixels.
``min``                           The darkest pixel.
``skewness``                      Asymmetry of the values. The kurtosis follows it.
``glcm_mean_contrast_3``          Differences of grey levels. The dissimilarity follows it.
``glcm_mean_correlation_3``       Likeness of neighbours.
``glcm_mean_homogeneity_3``       Evenness.
``glcm_mean_ASM_3``               Order. The energy is its root.
``glcm_std_contrast_3``           How much these depend on the direction. That of the correlation
``glcm_std_dissimilarity_3``      follows that of the contrast, that of the energy follows ASM's.
``glcm_std_homogeneity_3``
``glcm_std_ASM_3``
================================  ==================================================================

Left out beside those: views of the rim, which for cells of a radius of 10 pixels is most of the
mask, and views of the combined mask, since both follow those of the own mask; co-occurrence at
distance 5, whose means follow those at 3; the Euler number, which is 1 in masks without holes, as
``li`` makes them; the least gradient, dear for what it says; the orientation, which tells of the
slide and not of the cell; moments and tensors that are not invariant; the bare image.

"Follows" means a rank correlation (Spearman) above 0.95 over cells in at least one channel, of 600
simulated cells of 12 channels or of 600 Jurkat cells of 3, with masks by ``li``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SHAPE = (
    "area", "eccentricity", "solidity", "extent", "moments_hu-0", "moments_hu-2",
    "moments_hu-3", "moments_hu-4", "moments_hu-5", "moments_hu-6",
)  # fmt: skip
MEANS = ("contrast", "correlation", "homogeneity", "ASM")
SPREADS = ("contrast", "dissimilarity", "homogeneity", "ASM")


def selections(*, channels: Sequence[int | str] | None = None) -> list[tuple[str, dict[str, Any]]]:
    """Families and their settings.

    Parameters
    ----------
    channels : sequence of int, optional
        Places of channels (a config may name them); all by default. The combined mask is measured
        in any case.
    """
    of: dict[str, Any] = {} if channels is None else {"channels": list(channels)}
    texture: dict[str, Any] = {"masks": ["own"], "distances": [3], "sobel": [], **of}
    return [
        ("shape", {"component": "largest", "properties": list(SHAPE), **of}),
        ("intensity", {"views": ["own"], "stats": ["max", "min", "mad", "skewness"], **of}),
        ("intensity", {"views": ["bgcorr"], "stats": ["sum"], **of}),
        ("texture", {**texture, "statistics": ["mean"], "properties": list(MEANS)}),
        ("texture", {**texture, "statistics": ["std"], "properties": list(SPREADS)}),
    ]
