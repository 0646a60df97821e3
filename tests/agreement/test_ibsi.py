"""Values of the IBSI phantom that the program computes: first order, and texture in the plane.

IBSI states them with three digits and a tolerance of 0: they agree when they round to the same.
Texture is measured in each slice by itself, and averaged over slices: IBSI's "2D, averaged" with
the mean over the angles, its "2D, slice-merged" with the matrices of the angles added up.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from scip_mpi.features import gldm, glrlm, glszm, haralick, intensity, ngtdm

# IBSI's feature from our columns.
DERIVED = {
    "stat_mean": lambda c: c["mean"],
    "stat_var": lambda c: c["std"] ** 2,
    "stat_skew": lambda c: c["skewness"],
    "stat_kurt": lambda c: c["kurtosis"],
    "stat_median": lambda c: c["median"],
    "stat_min": lambda c: c["min"],
    "stat_max": lambda c: c["max"],
    "stat_range": lambda c: c["max"] - c["min"],
    "stat_iqr": lambda c: c["upper_quartile"] - c["lower_quartile"],
    "stat_qcod": lambda c: (
        (c["upper_quartile"] - c["lower_quartile"]) / (c["upper_quartile"] + c["lower_quartile"])
    ),
    "stat_cov": lambda c: c["std"] / c["mean"],
    "stat_rms": lambda c: math.hypot(c["mean"], c["std"]),
    "stat_energy": lambda c: (c["mean"] ** 2 + c["std"] ** 2) * c["sum"] / c["mean"],
}


# IBSI's features of co-occurrence by our names, first the 13 that Haralick defined.
HARALICK = {
    "energy": "angular_second_moment",
    "contrast": "contrast",
    "corr": "correlation",
    "joint_var": "joint_variance",
    "inv_diff_mom": "inverse_difference_moment",
    "sum_avg": "sum_average",
    "sum_var": "sum_variance",
    "sum_entr": "sum_entropy",
    "joint_entr": "joint_entropy",
    "diff_var": "difference_variance",
    "diff_entr": "difference_entropy",
    "info_corr1": "information_correlation_1",
    "info_corr2": "information_correlation_2",
    "joint_max": "joint_maximum",
    "joint_avg": "joint_average",
    "diff_avg": "difference_average",
    "dissimilarity": "dissimilarity",
    "inv_diff": "inverse_difference",
    "inv_diff_norm": "normalised_inverse_difference",
    "inv_diff_mom_norm": "normalised_inverse_difference_moment",
    "inv_var": "inverse_variance",
    "auto_corr": "autocorrelation",
    "clust_tend": "cluster_tendency",
    "clust_shade": "cluster_shade",
    "clust_prom": "cluster_prominence",
}
# The others in the order in which IBSI lists them, as we do.
RUNS = (
    "sre", "lre", "lgre", "hgre", "srlge", "srhge", "lrlge", "lrhge", "glnu", "glnu_norm", "rlnu",
    "rlnu_norm", "r_perc", "gl_var", "rl_var", "rl_entr",
)  # fmt: skip
ZONES = (
    "sze", "lze", "lgze", "hgze", "szlge", "szhge", "lzlge", "lzhge", "glnu", "glnu_norm", "zsnu",
    "zsnu_norm", "z_perc", "gl_var", "zs_var", "zs_entr",
)  # fmt: skip
DEPENDENCES = (
    "lde", "hde", "lgce", "hgce", "ldlge", "ldhge", "hdlge", "hdhge", "glnu", "glnu_norm", "dcnu",
    "dcnu_norm", "dc_perc", "gl_var", "dc_var", "dc_entr", "dc_energy",
)  # fmt: skip
TONES = ("coarseness", "contrast", "busyness", "complexity", "strength")
BOTH = {"2D_avg": "mean", "2D_comb": "merged"}
# Ours, from IBSI's family and feature.
TEXTURE = {
    **{("cm", f"cm_{w}_{a}"): f"haralick_{n}_{s}" for w, n in HARALICK.items()
       for a, s in BOTH.items()},
    **{("rlm", f"rlm_{w}_{a}"): f"glrlm_{n}_{s}"
       for w, (n, _) in zip(RUNS, glrlm.NAMES, strict=True) for a, s in BOTH.items()},
    **{("szm", f"szm_{w}_2D"): f"glszm_{n}" for w, (n, _) in zip(ZONES, glszm.NAMES, strict=True)},
    **{("ngl", f"ngl_{w}_2D"): f"gldm_{n}"
       for w, (n, _) in zip(DEPENDENCES, gldm.NAMES, strict=True)},
    **{("ngt", f"ngt_{w}_2D"): f"ngtdm_{n}"
       for w, (n, _) in zip(TONES, ngtdm.NAMES, strict=True)},
}  # fmt: skip


@pytest.fixture(scope="module")
def texture(shared_dir: Path) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    phantom = json.loads((shared_dir / "reference" / "ibsi_phantom.json").read_text())
    slices = [np.array(s, np.uint16) for s in phantom["phantom"]["intensity"]]
    masks = [np.array(m, bool) for m in phantom["phantom"]["mask"]]
    both = tuple(BOTH.values())
    families = (
        haralick.select(levels="given", statistics=both, features=haralick.WORDS),
        glrlm.select(levels="given", statistics=both),
        glszm.select(levels="given"),
        gldm.select(levels="given"),
        ngtdm.select(levels="given"),
    )
    found: dict[str, float] = {}
    for family in families:
        measured = family.measure(slices, masks, channel_names=["CT"])
        found |= {name.removesuffix("_CT"): float(v.mean()) for name, v in measured.items()}
    every: dict[str, dict[str, float]] = {}
    for family_name in ("cm", "rlm", "szm", "ngl", "ngt"):
        every |= phantom["reference"][family_name]
    return found, every


@pytest.mark.parametrize(("family", "name"), TEXTURE, ids=[n for _, n in TEXTURE])
def test_texture_in_the_plane(
    family: str, name: str, texture: tuple[dict[str, float], dict[str, dict[str, float]]]
) -> None:
    ours, reference = texture
    assert float(f"{ours[TEXTURE[family, name]]:.3g}") == reference[name]["value"]


def test_all_of_the_families_values_in_the_plane_are_met(
    texture: tuple[dict[str, float], dict[str, dict[str, float]]],
) -> None:
    in_plane = {n for n in texture[1] if n.endswith(("_2D", "_2D_avg", "_2D_comb"))}
    assert in_plane == {name for _, name in TEXTURE}
    assert len(in_plane) == 120


@pytest.fixture(scope="module")
def columns(shared_dir: Path) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    text = (shared_dir / "reference" / "ibsi_phantom.json").read_text()
    phantom = json.loads(text)
    # Slice under slice: first-order values know nothing of neighbours.
    image = np.array(phantom["phantom"]["intensity"], np.uint16).reshape(-1, 5)
    mask = np.array(phantom["phantom"]["mask"], bool).reshape(-1, 5)
    found = intensity.measure([image], [mask], channel_names=["CT"])
    names = ["mean", "median", "max", "min", "std", "lower_quartile", "upper_quartile", "sum",
             "skewness", "kurtosis"]  # fmt: skip
    return {n: float(found[f"{n}_CT"][0]) for n in names}, phantom["reference"]["stat"]


@pytest.mark.parametrize("name", DERIVED)
def test_first_order(
    name: str, columns: tuple[dict[str, float], dict[str, dict[str, float]]]
) -> None:
    ours, reference = columns
    assert float(f"{DERIVED[name](ours):.3g}") == reference[name]["value"]
