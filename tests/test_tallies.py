"""What ranks tell of a block says the same however its chunks were shared out."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scip_mpi.batches import to_buffer
from scip_mpi.books import reasons, taken, tell, with_row
from scip_mpi.holdings import ChunkRecord, Holdings, Notes, Survivors
from scip_mpi.loaders.contract import Failure
from scip_mpi.loaders.texts import Texts
from scip_mpi.memory import MemoryAccount
from scip_mpi.store import MaskStore
from scip_mpi.tallies import Tally, merge, tally

# Chunks of no, one and many images; the images with no, one and many objects.
BOUNDS = np.array([0, 3, 4, 9, 11, 12, 20])
CHANNELS, STATISTICS, RULES = 2, 3, 2
NOTHING = np.zeros(0, np.uint8)


def made_up(ranks: int) -> tuple[list[tuple[Holdings, Survivors]], list[dict[str, Any]]]:
    """What each rank holds, and all objects, one by one."""
    rng = np.random.default_rng(0)
    held: list[tuple[Holdings, Survivors]] = []
    for _ in range(ranks):
        holdings = Holdings(MaskStore(MemoryAccount(1 << 30)))
        held.append((holdings, Survivors({}, {}, {}, BOUNDS, BOUNDS, 20, {}, None)))
    objects = []
    for k, (lo, hi) in enumerate(zip(BOUNDS[:-1].tolist(), BOUNDS[1:].tolist(), strict=True)):
        n = hi - lo
        found = rng.integers(-1, 4, n)
        image = np.repeat(np.arange(lo, hi), np.maximum(found, 0))
        m = len(image)
        label = np.arange(m) * 10 + 1
        statistics = rng.choice([np.nan, -0.0, 1.5, np.inf], (m, STATISTICS))
        centroid, keep = rng.normal(size=(m, 2)), rng.random(m) > 0.4
        broken = rng.random((m, RULES)) > 0.5
        failed = [
            {"index": lo + i, "stage": "read", "error": "é"} for i in np.flatnonzero(found < 0)
        ]
        measured = rng.normal(size=(3, n, CHANNELS))
        measured[0, :, 0] = -0.0
        notes = Notes(found, *measured, centroid, as_bytes(failed))
        holdings, survivors = held[(k * 7) % ranks]
        buffer = to_buffer(notes)
        holdings.store.noted[lo] = buffer
        holdings.records[lo] = ChunkRecord(
            np.array([lo, hi]), NOTHING, np.zeros(n, np.int64), np.zeros(n, np.int32), n,
            image, label, np.ones(m, np.int64), statistics,
        )  # fmt: skip
        survivors.keep[lo], survivors.broken[lo] = keep, broken
        objects += [
            {
                "image": int(image[j]), "label": int(label[j]), "keep": bool(keep[j]),
                "centroid": centroid[j].tolist(), "statistics": statistics[j],
                "broken": broken[j].tolist(),
            }
            for j in range(m)
        ]  # fmt: skip
    return held, objects


def as_bytes(failures: list[dict[str, Any]]) -> np.ndarray:
    for f in failures:
        f["index"] = int(f["index"])
    return np.frombuffer(json.dumps(failures).encode(), np.uint8)


def told(ranks: int, lo: int, hi: int) -> tuple[Tally, list[dict[str, Any]]]:
    held, objects = made_up(ranks)
    plan: Any = SimpleNamespace(bounds=BOUNDS)
    bodies = [tell(plan, *own, lo, hi) for own in held]
    within = [o for o in objects if BOUNDS[lo] <= o["image"] < BOUNDS[hi]]
    messages = [np.frombuffer(b, np.uint8) for b in bodies if b]
    return merge(messages, int(BOUNDS[lo]), int(BOUNDS[hi])), within


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
@pytest.mark.parametrize(("lo", "hi"), [(0, 6), (0, 1), (2, 5)])
def test_in_the_order_of_the_catalog(ranks: int, lo: int, hi: int) -> None:
    found, objects = told(ranks, lo, hi)
    images = range(BOUNDS[lo], BOUNDS[hi])
    assert found.image.tolist() == list(images)
    kept = [sum(o["keep"] for o in objects if o["image"] == i) for i in images]
    assert found.kept.tolist() == kept
    assert found.object_image.tolist() == [o["image"] for o in objects]
    assert found.object_label.tolist() == [o["label"] for o in objects]
    assert found.object_keep.tolist() == [o["keep"] for o in objects]
    assert found.centroid.tolist() == [o["centroid"] for o in objects]
    gone = [o for o in objects if not o["keep"]]
    assert found.gone[0].tolist() == [o["image"] for o in gone]
    assert found.gone[1].tolist() == [o["label"] for o in gone]
    statistics, broken = found.why(STATISTICS)
    assert broken.T.tolist() == [o["broken"] for o in gone]
    want = np.array([o["statistics"] for o in gone]).reshape(-1, STATISTICS)
    assert np.array_equal(statistics.T, want, equal_nan=True)
    # One pattern of NaN, and no negative zero.
    assert set(np.signbit(statistics).reshape(-1).tolist()) <= {False}
    assert not np.signbit(found.measured[0]).any()
    failed = [i for i, f in zip(images, found.found.tolist(), strict=True) if f < 0]
    assert found.failures == [Failure(i, "read", "é") for i in failed]


@pytest.mark.parametrize("ranks", [2, 8])
def test_the_same_bits_for_any_number_of_ranks(ranks: int) -> None:
    (one, _), (many, _) = told(1, 0, 6), told(ranks, 0, 6)
    for name in ("images", "objects", "gone"):
        assert np.array_equal(getattr(one, name), getattr(many, name))
    assert one.failures == many.failures


def test_a_rank_without_chunks_has_nothing_to_tell() -> None:
    held, _ = made_up(8)
    idle = [own for own in held if not own[0].records]
    assert idle
    assert tally(*idle[0], BOUNDS.tolist()) is None
    plan: Any = SimpleNamespace(bounds=BOUNDS)
    assert tell(plan, *idle[0], 0, 6) == b""


@pytest.mark.parametrize("action", [None, "drop", "flag"])
def test_images_with_a_row(action: str | None) -> None:
    found, objects = told(3, 0, 6)
    chosen = None if action is None else SimpleNamespace(action=action)
    plan: Any = SimpleNamespace(config=SimpleNamespace(filter=chosen))
    rows, shown, place = with_row(plan, found)
    with_rows = [o for o in objects if o["keep"] or action != "drop"]
    assert rows.sum() == len(with_rows)
    assert shown.tolist() == sorted({o["image"] for o in with_rows})
    assert shown[place].tolist() == [o["image"] for o in with_rows]


def test_names_taken_from_others() -> None:
    names, images = Texts.of(["a", "b", "c"]), np.array([5, 6, 8])
    assert taken(names, images, images) is names
    assert taken(names, images, np.array([8, 8, 5])) == ["c", "c", "a"]
    assert taken(names, images, np.array([], np.int64)) == []


def test_reasons_name_the_rules_that_are_not_met(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = {"small": ["area"], "dim": ["sum", "mean"], "far": []}
    monkeypatch.setattr("scip_mpi.books.rule_label", lambda rule, _: rule)
    monkeypatch.setattr("scip_mpi.books.filter_measurements", lambda rule, *_: rules[rule])
    leaves = SimpleNamespace(leaves=lambda: list(rules))
    plan: Any = SimpleNamespace(
        config=SimpleNamespace(filter=leaves), sets=[], channel_names=[],
        statistics=["mean", "area", "sum"],
    )  # fmt: skip
    rng = np.random.default_rng(1)
    statistics = rng.choice([1.0, np.nan, np.inf], (3, 50), p=[0.7, 0.2, 0.1])
    broken = rng.random((3, 50)) > 0.5
    want = []
    for values, fails in zip(statistics.T, broken.T, strict=True):
        value = dict(zip(plan.statistics, values, strict=True))
        want.append(
            "; ".join(
                rule
                if np.isfinite([value[m] for m in of]).all()
                else f"{rule}: statistic undefined"
                for (rule, of), wrong in zip(rules.items(), fails, strict=True)
                if wrong
            )
        )
    assert reasons(plan, statistics, broken) == want
    assert reasons(plan, statistics[:, :0], broken[:, :0]) == []
