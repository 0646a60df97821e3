"""Each worry is said when there is cause, names it, and is not said otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from made_up import CHANNELS, RANK, ROWS, columns, counted, facts, table, told

from scip_mpi.report.timing import balance, cpu_by_stage, slow_ranks, timelines
from scip_mpi.report.worries import worries

HALVES = np.arange(ROWS) % 2


def said(*args: object, **changes: object) -> str:
    empty = changes.pop("empty", {})
    dropped = changes.pop("dropped", {})
    at_border = changes.pop("at_border", {})
    return "\n".join(worries(facts(*args, **changes), empty, dropped, at_border))


def test_of_a_run_that_went_well_there_is_nothing_to_say() -> None:
    full = {("li", c): 0.01 for c in CHANNELS}
    assert said(empty=full, at_border={"li": (2, 100)}) == ""


def test_a_shifted_group_is_named_with_its_channel() -> None:
    X = table()
    X[1] = X[1] + np.float32(40) * (HALVES == 1)
    text = said(X)
    assert "Channel DNA (mean in the channel's mask) is shifted" in text
    assert "plate 2 (median 19" in text
    assert "spreads above" in text
    assert "Channel BF" not in text


def test_a_group_of_few_cells_is_not_called_shifted() -> None:
    X = table()
    X[1] = X[1] + np.float32(400) * (HALVES == 1)
    failed = (HALVES == 1) & (np.arange(ROWS) > 20)
    assert "shifted" not in said(X, {"failed": failed})


def test_a_saturated_channel_and_an_empty_one() -> None:
    none = np.zeros(2, np.int64)
    images = counted(
        saturated={"BF": np.array([30, 0]), "DNA": none},
        dark={"BF": none, "DNA": np.array([210, 200])},
    )
    text = said(images=images)
    assert "Channel BF is saturated in 30 of 420 images (7.1%)" in text
    assert "Channel DNA is empty: in 410 of 420 images" in text


def test_a_channel_without_masks() -> None:
    text = said(empty={("li", "BF"): 0.0, ("li", "DNA"): 0.98})
    assert "Channel DNA has no mask in 98% of the cells in li" in text
    assert "BF" not in text


def test_mask_sets_that_drop_cells() -> None:
    text = said(dropped={"li": 0.21, "otsu": 0.01})
    assert "The mask set li has dropped 21% of the cells" in text
    assert "otsu" not in text


def test_masks_at_the_border() -> None:
    assert "30% of the masks of li touch the border" in said(at_border={"li": (30, 100)})
    # Of a handful nothing can be said.
    assert said(at_border={"li": (3, 10)}) == ""


def test_images_that_fail_and_images_without_a_cell() -> None:
    text = said(images=counted(failed=np.array([0, 21]), empty=np.array([100, 100])))
    assert "21 of 420 images (5.0%) failed; most of them in group plate 2 (10% of" in text
    assert "200 of 399 images (50%) hold no cell" in text


@pytest.mark.parametrize(("cells", "said_of"), [(8400, "plate 2 (40)"), (210, "plate 2 (1)")])
def test_a_group_with_too_many_or_too_few_cells(cells: int, said_of: str) -> None:
    found = np.array([2100, cells])
    text = said(images=counted(found=found, kept=found))
    assert "Too many or too few cells an image in plate" in text
    assert "plate 1 (10)" in text
    assert said_of in text


def test_of_many_groups_that_are_off_a_few_are_named() -> None:
    found = np.full(40, 1000)
    found[:8] = 10
    many = {"images": np.full(40, 100), "failed": found * 0, "empty": found * 0}
    text = said(
        images=counted(groups=[f"w{k}" for k in range(40)], found=found, kept=found, **many)
    )
    assert "w0 (0.1), w1 (0.1), w2 (0.1), w3 (0.1), w4 (0.1) and 3 more: the other" in text
    assert "groups have 10." in text


def test_a_filter_that_leaves_out_much() -> None:
    text = said(images=counted(kept=np.array([100, 110])))
    assert "The filter left out 210 of 420 cells (50%)" in text


def test_columns_that_say_nothing_and_values_out_of_range() -> None:
    n_nan = np.array([0, 0, 0, 0, 0, 399])
    constant = np.array([True, True, False, False, False, False])
    text = said(columns=columns(n_nan=n_nan, constant=constant), told=told(overflows=3))
    assert "Of 6 columns 2 are constant and 1 miss more than 50%" in text
    assert "3 values are too large" in text


def other(number: int, **changes: object) -> dict[str, object]:
    return RANK | {"rank": number} | changes


def test_a_slow_rank_is_named_with_its_node() -> None:
    slow = other(1, node="n7", costs={"chunks": [[100, 5.0]], "runs": [[100, 0.1]]})
    ranks = [other(0), slow, other(2)]
    assert [(r["rank"], round(by, 1)) for r, by in slow_ranks(ranks)] == [(1, 2.4)]
    assert "Rank 1 on n7 took 2.4 times as long" in said(told=told(ranks=ranks))
    assert slow_ranks([other(0), other(1)]) == []
    assert slow_ranks([slow]) == []
    # What took a tenth of a second tells nothing.
    assert slow_ranks([other(0), other(1, costs={"chunks": [[1, 0.1]], "runs": []})]) == []


def test_an_uneven_load_counts_only_in_runs_that_take_their_time() -> None:
    ranks = [other(0), other(1, busy={"wall_s": 2.0, "cpu_s": 2.0})]
    assert balance(ranks) == pytest.approx(0.6)
    assert balance([]) is None
    assert "balance of the ranks is 60%" in said(told=told(ranks=ranks))
    assert "balance" not in said(told=told(ranks=ranks, wall_s=3.0))


def test_devices_out_of_memory_and_ranks_that_died_are_said() -> None:
    device = {
        "name": "H100", "images": 10, "batches_halved": 2, "images_on_cpu": 3, "planes_on_cpu": 0,
        "lost": "", "chunks_handed_over": 0, "on_cpu_instead": False,
    }  # fmt: skip
    deaths = [{"rank": 3, "of": 8, "node": "n2", "stage": "features"}]
    text = said(told=told(ranks=[other(0, device=device)], deaths=deaths))
    assert "Devices ran out of memory: 2 batches were halved, 3 images done on the CPU." in text
    assert "Rank 3 of 8 on n2 died in stage features" in text


def test_times_of_stages_and_ranks() -> None:
    ranks = [other(0), other(1)]
    assert cpu_by_stage(ranks) == {"segment": 11.0, "read": 1.0}
    late = {"start_s": 1002.0, "bin_s": 0.5, "stages": {"features": [0.5, 0.25, 0.25]}}
    lines = timelines([other(0), other(1, timeline=late), other(2, timeline=None)], bins=2)
    assert [(t.rank, t.start, t.width) for t in lines] == [(0, 0.0, 2.0), (1, 2.0, 1.0)]
    assert lines[0].shares["reading"].tolist() == [0.5, 0.0]
    assert lines[0].shares["busy"].tolist() == [0.5, 0.25]
    assert lines[0].shares["waiting"].tolist() == [0.0, 0.25]
    assert lines[0].shares["writing"].tolist() == [0.0, 0.5]
    assert lines[1].shares["busy"].tolist() == [0.75, 0.25]
