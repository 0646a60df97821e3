"""The report of a real run: written at its end, and again from what it left."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path

import pytest
from cells import copy_cells, jurkat_files, write_config
from launch import scip

from scip_mpi.errors import UserError
from scip_mpi.job import Request
from scip_mpi.merge import merge
from scip_mpi.parallel.world import Alone
from scip_mpi.progress import Lines
from scip_mpi.report import write
from scip_mpi.report.links import link_pages
from scip_mpi.report.write import rebuild
from scip_mpi.run import run

FILTER = "filter: {name: mad, statistic: mean, channel: PI, n_mads: 2, by: group}\n"
SECTIONS = ("worries", "run", "found", "galleries", "map")
PARTS = ("discarded", "failures", "groups", "intensities", "channels", "areas", "empty")


@pytest.fixture(scope="module")
def cells(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_cells(jurkat_files(shared_dir, 70), tmp_path_factory.mktemp("cells"))
    (folder / "G1" / "broken <b>.tiff").write_bytes(b"II*\0 this is no TIFF")
    return folder


@pytest.fixture(scope="module")
def out(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    labels = folder / "labels.csv"
    names = [p.relative_to(cells) for p in sorted(cells.rglob("*.tiff"))]
    labels.write_text("image,phase\n" + "".join(f"{n},{n.parent}\n" for n in names))
    config = write_config(folder / "scip.yml", FILTER)
    request = Request(config, [str(cells)], folder / "out", quiet=True, report=True, labels=labels)
    assert run(Alone(), request) == 0
    return folder / "out"


def page(out: Path) -> str:
    return (out / "report.html").read_text(encoding="utf-8")


def test_every_section_is_there(out: Path) -> None:
    text = page(out)
    for name in SECTIONS:
        assert f'<section id="{name}"' in text
    for name in PARTS:
        assert f'<h3 id="{name}"' in text
    for gallery in ("kept", "discarded", "threshold0", "extreme0"):
        assert f'<h3 id="gallery-{gallery}"' in text
    told = json.loads((out / "run.json").read_text())
    assert f"<b>{told['rows']}</b>rows in the table" in text
    assert "<b>71</b>images" in text
    assert "<b>1</b>images failed" in text
    assert "mad of mean_PI" in text
    assert "Balance 100 %" in text


def test_pictures_are_of_the_cells_with_outlines_of_all_mask_sets(out: Path) -> None:
    figures = re.findall(r"<figure>.*?</figure>", page(out), re.DOTALL)
    assert len(figures) >= 40
    for figure in figures:
        assert re.search(r"<title>\w+/\S+\.tiff, cell 1</title>", figure)
        assert figure.count("data:image/png;base64,") == 1
        assert figure.count("<text") == 3
        # Anaphase cells and others may lack a mask in their main channel, but never all of them.
    assert sum('class="outline o0"' in f for f in figures) > 30
    assert sum('class="outline o1"' in f for f in figures) > 30


def test_the_map_knows_labels_and_groups(out: Path) -> None:
    held = re.search(r'id="map-data">(.*?)</script>', page(out), re.DOTALL)
    assert held is not None
    data = json.loads(held[1])
    told = json.loads((out / "run.json").read_text())
    assert data["count"] == told["rows"]
    names = [c["name"] for c in data["colours"]]
    assert names[:2] == ["phase", "group"]
    assert len(data["colours"][0]["categories"]) == 7


def test_failures_are_listed_and_what_files_are_called_is_no_markup(out: Path) -> None:
    text = page(out)
    assert "broken &lt;b&gt;.tiff" in text
    assert "broken <b>" not in text
    assert "1 in read" in text


def test_the_page_needs_no_network(out: Path) -> None:
    text = page(out)
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", text)
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)", text)
    assert "default-src 'none'" in text
    assert len(text) < 3_000_000


def test_it_is_made_again_from_what_the_run_left(
    cells: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = page(out)
    copied = tmp_path / "copied"
    shutil.copytree(out, copied)
    (copied / "report.html").unlink()
    (copied / "classification.html").write_text("classes")
    monkeypatch.chdir(tmp_path)
    path, problem = rebuild(Path("copied"))
    assert (path, problem) == (copied / "report.html", "")
    again = page(copied)
    figures = re.compile(r"<figure>.*?</figure>", re.DOTALL)
    assert figures.findall(again) == figures.findall(before)
    assert 'href="classification.html">Classification' in again
    assert "classification.html" not in before
    assert '"phase"' not in again


def test_pages_that_come_later_are_linked_in_the_report_that_is_there(
    out: Path, tmp_path: Path
) -> None:
    link_pages(tmp_path)
    assert list(tmp_path.iterdir()) == []
    shutil.copyfile(out / "report.html", tmp_path / "report.html")
    link_pages(tmp_path)
    assert page(tmp_path) == page(out)
    (tmp_path / "classification.html").write_text("classes")
    link_pages(tmp_path)
    link = '<li><a href="classification.html">Classification</a></li>'
    assert page(tmp_path).count(link) == 1
    assert page(tmp_path).replace(link, "") == page(out)
    link_pages(tmp_path)
    assert page(tmp_path).count(link) == 1
    # A page of that name that is not ours stays as it is.
    (tmp_path / "report.html").write_text("mine")
    link_pages(tmp_path)
    assert page(tmp_path) == "mine"


def test_without_the_images_it_says_so_and_shows_the_rest(out: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(out, copied)
    told = json.loads((copied / "run.json").read_text())
    for changes, words in (
        ({"paths": [str(tmp_path / "nowhere")]}, "nowhere"),
        ({"paths": None}, "does not say where"),
        ({"images": 5}, "and the run had 5"),
    ):
        (copied / "run.json").write_text(json.dumps(told | changes))
        _, problem = rebuild(copied)
        assert words in problem
        assert words in page(copied)
        assert "<figure>" not in page(copied)
        assert '<section id="map"' in page(copied)


def test_of_joined_runs_there_is_one_too(cells: Path, out: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "scip.yml", FILTER)
    more = tmp_path / "more"
    assert run(Alone(), Request(config, [str(cells / "G1")], more, quiet=True)) == 0
    assert merge([out, more], tmp_path / "all", quiet=True) == 0
    _, problem = rebuild(tmp_path / "all")
    assert "does not say where" in problem
    text = page(tmp_path / "all")
    assert "joined from" in text
    assert '"name": "source"' in text
    assert "mad of mean_PI" in text


@pytest.mark.parametrize(
    "text",
    [
        "feature_extraction: [shape, intensity]\n",
        "filter: {any: [{name: range, statistic: max, channel: PI, lower: 400}, "
        "{name: polygon, x: {statistic: mean, channel: 1}, y: {statistic: max, channel: 1}, "
        "points: [[0, 0], [900, 0], [900, 900]]}], action: flag}\nfeature_extraction: [raw]\n",
        "segment: {method: watershed, settings: {cell_diameter: 20, parent_channel_index: PI}}\n"
        "feature_extraction: [intensity: {stats: [mean]}]\n",
    ],
)
def test_whatever_a_config_leaves_out_the_report_does_without(
    text: str, cells: Path, tmp_path: Path
) -> None:
    load = "load: {format: multiframe_tiff, channels: [0, 1], channel_names: [BF, PI]}\n"
    config = write_config(tmp_path / "scip.yml", text=load + text)
    out = tmp_path / "out"
    request = Request(config, [str(cells)], out, quiet=True, report=True)
    assert run(Alone(), request) == 0
    shown = page(out)
    for name in SECTIONS:
        assert f'<section id="{name}"' in shown
    assert "<figure>" in shown
    assert "touch the border" not in shown or "segment" in text


def test_a_run_of_which_the_filter_leaves_nothing(cells: Path, tmp_path: Path) -> None:
    text = "filter: {name: range, statistic: max, channel: PI, lower: 1.0e+9}\n"
    config, out = write_config(tmp_path / "scip.yml", text), tmp_path / "out"
    assert run(Alone(), Request(config, [str(cells)], out, quiet=True, report=True)) == 0
    shown = page(out)
    assert "The filter left out 70 of 70 cells (100%)" in shown
    assert 'id="gallery-discarded"' in shown
    assert "too few cells" in shown


def test_images_that_changed_are_shown_but_not_passed_over(
    cells: Path, out: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(out, copied)
    told = json.loads((copied / "run.json").read_text())
    (copied / "run.json").write_text(json.dumps(told | {"fingerprint": "0" * 64}))
    rebuild(copied)
    assert "have changed since the run" in page(copied)


def test_the_commands_and_what_they_refuse(cells: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "scip.yml")
    out = tmp_path / "out"
    done = scip("run", config, cells / "Anaphase", "-o", "out", report=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().splitlines()[-1].endswith("report: out/report.html")
    (out / "report.html").unlink()
    # From another folder, though paths were given from that one.
    done = scip("report", out)
    assert done.returncode == 0, done.stderr
    assert (done.stdout.strip(), done.stderr) == (f"report: {out / 'report.html'}", "")
    assert "<figure>" in page(out)
    assert scip("report", tmp_path).returncode == 2
    missing = scip("report", out, "--labels", tmp_path / "none.csv")
    assert missing.returncode == 2
    assert "none.csv cannot be read" in missing.stderr


def finished(cells: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The log of a run that is to have a report, and ends well in any case."""
    log = io.StringIO()
    monkeypatch.setattr("scip_mpi.run.open_progress", lambda quiet: Lines(log))
    config = write_config(folder / "scip.yml")
    request = Request(config, [str(cells)], folder / "out", report=True)
    assert run(Alone(), request) == 0
    assert (folder / "out" / "features.h5ad").is_file()
    return log.getvalue().splitlines()


def test_the_log_ends_with_the_report(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = finished(cells, tmp_path, monkeypatch)
    assert lines[-1][9:] == f"report: {tmp_path / 'out' / 'report.html'}"


def test_a_report_that_fails_fails_no_run_and_is_told(
    cells: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "render", broken)
    assert "table: " in finished(cells, tmp_path, monkeypatch)[-2]
    said = capsys.readouterr().err
    assert "no report could be written (OSError: [Errno 28] No space left" in said
    assert f"python -m scip_mpi report {tmp_path / 'out'}" in said
    assert not list((tmp_path / "out").glob("report*"))


def test_a_run_that_ends_in_its_report_had_finished(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "render", killed)
    config = write_config(tmp_path / "scip.yml")
    request = Request(config, [str(cells)], tmp_path / "out", quiet=True, report=True)
    with pytest.raises(KeyboardInterrupt):
        run(Alone(), request)
    # Its lock is this process's own, which goes on.
    assert run(Alone(), request) == 0
    monkeypatch.undo()
    assert rebuild(tmp_path / "out")[1] == ""


def test_without_its_library_the_run_says_how_to_get_it(
    cells: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scip_mpi.report.lacking", lambda: "a report needs jinja2: pip install x")
    monkeypatch.setattr(write, "lacking", lambda: "a report needs jinja2: pip install x")
    lines = finished(cells, tmp_path, monkeypatch)
    assert "pip install x" in lines[-1]
    assert not (tmp_path / "out" / "report.html").exists()
    with pytest.raises(UserError, match="pip install x"):
        rebuild(out)


def test_overwrite_replaces_the_report_too(cells: Path, out: Path, tmp_path: Path) -> None:
    copied = tmp_path / "out"
    shutil.copytree(out, copied)
    config = write_config(tmp_path / "scip.yml")
    request = Request(config, [str(cells)], copied, overwrite=True, quiet=True)
    assert run(Alone(), request) == 0
    assert not (copied / "report.html").exists()
