"""OUT/classification.html: the figures as a page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --ground: #ffffff;
  --line: #d1d9e0; --bar: #2f6fb0; --ramp: 47, 111, 176; --over: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9aa5b1; --ground: #12161c;
  --line: #333c47; --bar: #6aa9e9; --ramp: 106, 169, 233; --over: #0b0e12; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; color: var(--ink);
  background: var(--ground); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: .5rem 0; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
p { margin: .4rem 0; } .soft { color: var(--soft); } .wide { overflow-x: auto; }
.figures { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1rem 0; }
.figures div { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem 1rem; }
.figures b { display: block; font-size: 1.5rem; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
td.name { text-align: left; overflow-wrap: anywhere; }
.matrix td { text-align: center; min-width: 3.2rem; border: 1px solid var(--ground); }
.matrix th { font-weight: 500; } .matrix td small { display: block; font-size: .72rem; }
.matrix th { text-align: center; } .bars { width: 100%; max-width: 44rem; }
.bars td:nth-child(2) { width: 45%; min-width: 8rem; text-align: left; }
.bar { display: block; height: .8rem; background: var(--bar); border-radius: 2px; }
"""


def page(told: Mapping[str, Any], report: bool = False) -> str:
    """The page of a classification's figures.

    Parameters
    ----------
    told : mapping
        As `scip_mpi.classification.classify.classify` returns them.
    report : bool
        Whether there is a report.html beside it to go back to.
    """
    found = told["validation"]
    parts = [
        f"<h1>Classification of {escape(told['out'])}</h1>",
        '<p><a href="report.html">Report of the run</a></p>' if report else "",
        _figures(told),
        *(f"<p>Note: {escape(note)}.</p>" for note in told["notes"]),
        "<h2>Classes</h2>",
        _classes(found["classes"]),
        "<h2>Confusion matrix</h2>",
        '<p class="soft">Rows: the class given. Columns: the class predicted. Cells, mean over the '
        "repeats, and their share of the row, which is the shade.</p>",
        _matrix(found["confusion"], told["classes"]),
        _held_out(told),
        _subsets(told),
        "<h2>What the model goes by</h2>",
        '<p class="soft">Share in all that the splits of the trees gained. Of columns that tell '
        "the same, the trees take one by chance.</p>",
        *(
            f"<h3>By {title}</h3>" + _bars(told["importance"]["by"][kind].items())
            for kind, title in (
                ("family", "family"), ("channel", "channel"), ("mask_set", "mask set"),
            )
        ),
        "<h3>Columns</h3>",
        _bars((top["column"], top["share"]) for top in told["importance"]["top"]),
        _method(told),
    ]  # fmt: skip
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Classification of {escape(told['out'])}</title>\n<style>{STYLE}</style>\n</head>\n"
        "<body>\n" + "\n".join(part for part in parts if part) + "\n</body>\n</html>\n"
    )


def spread(value: Mapping[str, Any]) -> str:
    """A mean with its standard deviation."""
    if value["mean"] is None:
        return "&ndash;"
    sd = "" if value["sd"] is None else f" &plusmn; {value['sd']:.3f}"
    return f"{value['mean']:.3f}{sd}"


def _figures(told: Mapping[str, Any]) -> str:
    found = told["validation"]
    how = f"{told['repeats']} &times; {told['folds']} folds"
    if told["group_by"]:
        how += f", no {escape(told['group_by'])} on two sides"
    figures = [
        (spread(found["balanced_accuracy"]), f"balanced accuracy, {how}"),
        (spread(found["accuracy"]), "accuracy"),
        (f"{told['cells']:,}", f"labelled cells of {len(told['classes'])} classes"),
        (f"{told['columns']['used']:,}", f"of {told['columns']['of']:,} columns"),
    ]
    if told["held_out"]:
        held = told["held_out"]
        figures.insert(1, (spread(held["balanced_accuracy"]), f"held out: {escape(held['by'])}"))
    return (
        '<div class="figures">'
        + "".join(f"<div><b>{value}</b>{text}</div>" for value, text in figures)
        + "</div>"
    )


def _classes(classes: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [escape(c["class"]), f"{c['cells']:,}", spread(c["recall"]), spread(c["precision"])]
        for c in classes
    ]
    return _table(["class", "cells", "recall", "precision"], rows)


def _matrix(matrix: Sequence[Sequence[float]], classes: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in classes)
    rows = []
    for name, row in zip(classes, matrix, strict=True):
        total = sum(row)
        cells = []
        for value in row:
            share = value / total if total else 0.0
            ink = "var(--over)" if share > 0.6 else "inherit"
            cells.append(
                f'<td style="background: rgba(var(--ramp), {share:.3f}); color: {ink}">'
                f"{_count(value)}<small>{share:.0%}</small></td>"
            )
        rows.append(f"<tr><th>{escape(name)}</th>{''.join(cells)}</tr>")
    return (
        f'<div class="wide"><table class="matrix"><tr><th></th>{head}</tr>{"".join(rows)}'
        "</table></div>"
    )


def _held_out(told: Mapping[str, Any]) -> str:
    held = told["held_out"]
    if not held:
        return ""
    return (
        f"<h2>Held out: {escape(held['by'])}</h2><p>{held['cells']:,} cells that no model had "
        f"seen: balanced accuracy {spread(held['balanced_accuracy'])}, accuracy "
        f"{spread(held['accuracy'])}.</p>"
        + _classes(held["classes"])
        + _matrix(held["confusion"], told["classes"])
    )


def _subsets(told: Mapping[str, Any]) -> str:
    if not told["subsets"]:
        return ""
    rows = [
        [escape(", ".join(s["channels"])), f"{s['columns']:,}", spread(s["balanced_accuracy"]),
         spread(s["accuracy"]), escape(s["note"])]
        for s in [
            {"channels": ["all channels"], "columns": told["columns"]["used"], "note": "",
             **told["validation"]},
            *told["subsets"],
        ]
    ]  # fmt: skip
    names = ["class", "all", *(", ".join(s["channels"]) for s in told["subsets"])]
    recalls = [
        [escape(name)]
        + [spread(v["classes"][k]["recall"]) for v in (told["validation"], *told["subsets"])]
        for k, name in enumerate(told["classes"])
    ]
    return (
        "<h2>With some channels alone</h2><p>The same cells and folds.</p>"
        + _table(["channels", "columns", "balanced accuracy", "accuracy", ""], rows)
        + "<h3>Recall</h3>"
        + _table(names, recalls)
    )


def _method(told: Mapping[str, Any]) -> str:
    columns, settings = told["columns"], told["settings"]
    words = ", ".join(f"{name} {value:g}" for name, value in settings.items())
    tuned = ""
    if told["tuning"]:
        tuned = (
            f" The settings were the best of {len(told['tuning'])} that there was time to try, by "
            "the balanced accuracy of other folds of the same cells: the cells held out judge them."
        )
    return (
        '<h2>How</h2><p class="soft">'
        f"Columns left out: {columns['constant']:,} constant, {columns['missing']:,} mostly "
        f"missing, {columns['duplicate']:,} the same as another. Gradient boosted trees "
        f"(XGBoost {escape(told['versions']['xgboost'])}, by histogram): {escape(words)}; rounds "
        "by early stopping within each fold's own cells, seed "
        f"{told['seed']}, {told['threads']} thread(s) a model.{tuned} &plusmn; is the standard "
        "deviation over the repeats. The table's obs has what each row is by the model: "
        "class_predicted and class_probability_...; cells that were learnt from are told by the "
        "models that had not seen them (class_predicted_by).</p>"
    )


def _bars(shares: Iterable[tuple[str, float]]) -> str:
    held = list(shares)
    most = max((share for _, share in held), default=1.0) or 1.0
    rows = "".join(
        f'<tr><td class="name">{escape(name)}</td><td><span class="bar" '
        f'style="width: {100 * share / most:.1f}%"></span></td><td>{share:.1%}</td></tr>'
        for name, share in held
    )
    return f'<table class="bars">{rows}</table>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{top}</tr>{body}</table></div>'


def _count(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"
