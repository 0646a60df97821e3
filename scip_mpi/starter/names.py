"""Which files belong to one image, guessed from their names."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from scip_mpi.loaders.presets import PRESETS

TOKEN = re.compile(r"\d+|[A-Za-z]+|[^A-Za-z0-9]+")
# Words in front of a channel's number; any case.
HINTS = {"ch", "channel", "chan", "c", "w", "wv", "wavelength", "d"}
MOST_CHANNELS = 40
# Of the files, so many must be of the pattern.
SHARE = 0.8


def guess_preset(names: Sequence[str]) -> str | None:
    """The instrument whose names these are, if several channels of an image are among them."""
    for preset, regex in PRESETS.items():
        found = [m for m in (re.search(regex, name) for name in names) if m]
        channels = {m["channel"] for m in found}
        if len(found) >= SHARE * len(names) and len(channels) > 1:
            return preset
    return None


def guess_regex(names: Sequence[str]) -> str | None:
    """A pattern with the groups id and channel, if the files are channels of images.

    Names are taken apart into digits, letters and what is in between. The channel is a part of
    which every image, which is what the other parts say, has the same few values; where several
    are, the one that a word such as ``ch`` stands in front of, or else the last one of letters.

    Parameters
    ----------
    names : sequence of str
        Relative paths of TIFF files.
    """
    stems = [re.sub(r"(?i)\.tiff?$", "", name.rsplit("/", 1)[-1]) for name in names]
    parts = [TOKEN.findall(stem) for stem in stems]
    forms = Counter(tuple(_kind(t) for t in tokens) for tokens in parts)
    if not forms:
        return None
    form, count = forms.most_common(1)[0]
    if count < SHARE * len(names):
        return None
    chosen = [
        (name.rpartition("/")[0], tokens)
        for name, tokens in zip(names, parts, strict=True)
        if tuple(_kind(t) for t in tokens) == form
    ]
    tokens = [t for _, t in chosen]
    places = [k for k in range(len(form)) if _tells_channels(chosen, k)]
    hinted = [k for k in places if k and tokens[0][k - 1].lower() in HINTS]
    letters = [k for k in places if tokens[0][k].isalpha()]
    best = hinted or letters
    if not best:
        return None
    return _regex(chosen, best[-1])


def _kind(token: str) -> str:
    """What a token may be exchanged for: another number, another word, nothing."""
    return "0" if token.isdigit() else "a" if token.isalpha() else token


def _tells_channels(chosen: Sequence[tuple[str, list[str]]], k: int) -> bool:
    values = {tokens[k] for _, tokens in chosen}
    if not (1 < len(values) <= MOST_CHANNELS and values == {v for v in values if v.isalnum()}):
        return False
    found = defaultdict(set)
    for folder, tokens in chosen:
        found[folder, *tokens[:k], "", *tokens[k + 1 :]].add(tokens[k])
    return all(has == values for has in found.values())


def _regex(chosen: Sequence[tuple[str, list[str]]], k: int) -> str:
    """The pattern in which part ``k`` is the channel."""
    tokens = [t for _, t in chosen]
    stems = {tuple(t) for t in tokens}
    # Where files of several folders have the same names, the folders are part of the id.
    depth = max(folder.count("/") + 1 if folder else 0 for folder, _ in chosen)
    folders = "" if len(stems) == len(tokens) or not depth else rf"(?:[^/]+/){{0,{depth}}}"
    parts = [_pattern([t[j] for t in tokens]) for j in range(len(tokens[0]))]
    before, after = "".join(parts[:k]), "".join(parts[k + 1 :])
    channel = r"\d+" if tokens[0][k].isdigit() else "[A-Za-z]+"
    if not (before or folders):
        return rf"(?:^|/)(?P<channel>{channel})(?P<id>{after})\.(?i:tiff?)$"
    rest = f"(?P<id2>{after})" if after else ""
    start = "" if folders else "(?:^|/)"
    return rf"{start}(?P<id>{folders}{before})(?P<channel>{channel}){rest}\.(?i:tiff?)$"


def _pattern(values: Sequence[str]) -> str:
    """What a part of all names looks like; other images may have other numbers."""
    if values[0].isdigit():
        return r"\d+"
    return re.escape(values[0]) if len(set(values)) == 1 else "[A-Za-z]+"
