"""Which columns a model goes by, and which families, channels and mask sets."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import xgboost

from scip_mpi.batches import FloatArray, Int64Array
from scip_mpi.classification.subsets import texts

TOP = 30
KINDS = ("family", "channel", "mask_set")


def gains(booster: xgboost.Booster, columns: int) -> FloatArray:
    """Share of each column in all that the splits of the trees gained."""
    found = np.zeros(columns)
    scores: dict[str, Any] = booster.get_score(importance_type="total_gain")
    for name, gain in scores.items():
        found[int(name.removeprefix("f"))] = gain
    total = found.sum()
    return found / total if total else found


def importance(booster: xgboost.Booster, file: h5py.File, used: Int64Array) -> dict[str, Any]:
    """The columns that gained most, and the sums by `KINDS`, largest first.

    Parameters
    ----------
    booster : xgboost.Booster
    file : h5py.File
        The table.
    used : ndarray of int64
        Columns of the table that the model takes.
    """
    share = gains(booster, len(used))
    names = file["var/_index"].asstr()[()]
    told = {kind: np.array(texts(file, kind), object)[used] for kind in KINDS}
    best = np.argsort(-share, kind="stable")[:TOP]
    top = [
        {"column": str(names[used[j]]), "share": round(float(share[j]), 6)}
        | {kind: str(told[kind][j]) for kind in KINDS}
        for j in best
        if share[j] > 0
    ]
    sums = {}
    for kind in KINDS:
        words, place = np.unique(told[kind].astype(str), return_inverse=True)
        totals = np.bincount(place, share, len(words))
        order = np.argsort(-totals, kind="stable")
        sums[kind] = {str(words[k]) or "(none)": round(float(totals[k]), 6) for k in order}
    return {"top": top, "by": sums}
