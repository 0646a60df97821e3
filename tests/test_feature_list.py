"""The list of features: that it is complete, and that features.md is the newest."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.feature_costs import costs
from scip_mpi import registry
from scip_mpi.cli import cli
from scip_mpi.errors import UserError
from scip_mpi.feature_list import (
    CHANNEL,
    OTHER,
    as_markdown,
    as_text,
    documented,
    features_of,
    list_families,
    settings_of,
)
from scip_mpi.features.family import Family, Feature

ROOT = Path(__file__).resolve().parents[1]
BUILT_IN = list(registry.BUILT_IN["features"])


def test_features_md_is_the_newest() -> None:
    stands = (ROOT / "features.md").read_text(encoding="utf-8")
    assert as_markdown(list_families(BUILT_IN)) == stands, "features.md is stale: make features"
    assert "](features.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", BUILT_IN)
def test_of_every_feature_all_is_told(name: str) -> None:
    (family,) = list_families([name])
    assert family.about.endswith(".")
    assert "``" not in as_text([family])
    assert len({f.name for f in family.features}) == len(family.features) > 0
    for f in family.features:
        assert f.unit, f.name
        assert f.definition.endswith("."), f.name
        assert f.mask, f"{name} has no setting `mask`: its features must say theirs"
        assert f.source or family.source, f"the docstring of {name}.compute lacks References"


def test_columns_of_two_channels_are_listed_once() -> None:
    def features(names: Sequence[str]) -> list[Feature]:
        alone = [Feature(f"p_mean_{a}", a, "1", "Mean.") for a in names]
        return alone + [
            Feature(f"p_r_{a}_{b}", a, "1", "Correlation.")
            for k, a in enumerate(names)
            for b in names[k + 1 :]
        ]

    def compute(*_: object) -> None:
        """Nothing."""

    listed = features_of(Family("p", features, compute, masked=False))
    assert [f.name for f in listed] == [f"p_mean_{CHANNEL}", f"p_r_{CHANNEL}_{OTHER}"]
    assert {f.mask for f in listed} == {"none"}


def test_a_docstring_is_taken_apart() -> None:
    def function() -> None:
        """Do it.

        First, over
        two lines.

        Second.

        Parameters
        ----------
        a : int

        References
        ----------
        Who, "What",
        when.
        """

    assert documented(function) == ("Do it.", ["First, over two lines.", "Second."],
                                    'Who, "What", when.')  # fmt: skip
    assert documented(int.__new__)[2] == ""


def test_settings_are_shown_as_a_config_has_them() -> None:
    def select(*, bins: int = 4, all: bool = True, over: tuple[str, ...] = ("a", "b"),
               channels: object = None) -> Family:  # fmt: skip
        raise NotImplementedError

    family = Family("p", lambda _: [], lambda *_: None, select=select)
    assert settings_of(family) == ["bins: 4", "all: true", "over: [a, b]", "channels"]


def test_the_newest_cost_of_each_family_counts(tmp_path: Path) -> None:
    def write(name: str, *rows: tuple[str, str, str, float]) -> None:
        head = ("kernel", "given", "who", "us", "date", "machine")
        with (tmp_path / name).open("w", newline="") as handle:
            csv.writer(handle).writerows([head, *((*row, name, "M") for row in rows)])

    ours = ("crops", "scip_mpi")
    field = ("field", "scip_mpi")
    write("kernels_2.csv", ("raw", *ours, 2.0), ("raw", *field, 8.0), ("li", *ours, 9))
    write("kernels_3.csv", ("neighbors", *field, 26))
    write("kernels_1.csv", ("raw", *ours, 1.0), ("shape", *ours, 3), ("shape", "crops", "twin", 7))
    found = {row["family"]: (row["us"], row["per"], row["date"]) for row in costs(tmp_path)}
    assert found == {
        "shape": ("3", "mask", "kernels_1.csv"),
        "raw": ("2", "channel", "kernels_2.csv"),
        "neighbors": ("26", "", "kernels_3.csv"),
    }


def test_the_command_prints_one_family_or_says_which_there_are() -> None:
    done = CliRunner().invoke(cli, ["features", "--family", "raw", "--markdown"])
    assert done.exit_code == 0, done.output
    assert done.output == as_markdown(list_families(["raw"]))
    assert f"| `median_{CHANNEL}` | intensity | none |" in done.output
    done = CliRunner().invoke(cli, ["features", "--family", "raw"])
    assert f"median_{CHANNEL}  " in done.output
    with pytest.raises(UserError, match="did you mean 'texture'"):
        list_families(["textures"])
