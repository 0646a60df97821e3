"""Where a thread is, read off its stack: the loops that are watched pay nothing for it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from scip_mpi.loaders.contract import References
from scip_mpi.loaders.gather import gather
from scip_mpi.loaders.listing import shown
from scip_mpi.parallel.guard import is_ours
from scip_mpi.parallel.link import Backoff

# Who is in one of these has nothing to do until another rank or thread has.
WAITING = frozenset(
    f.__code__ for f in (Backoff.wait, threading.Thread.join, threading.Condition.wait)
)


@dataclass(frozen=True)
class Whereabouts:
    """Where a thread was when it was looked at.

    Attributes
    ----------
    position : tuple
        Of each function called, innermost first, which one and how far it has come.
    images : str
        The image it is at, or those that it has in hand; "" if none.
    line : str
        The line of this program that it is in.
    waiting : bool
        Whether it only waits for others.
    """

    position: tuple[tuple[int, int], ...]
    images: str
    line: str
    waiting: bool


def whereabouts(ident: int) -> Whereabouts | None:
    """Where the thread of an identifier is now; None if it has ended."""
    innermost = sys._current_frames().get(ident)
    if innermost is None:
        return None
    stack = list(callers(innermost))
    ours = next((f for f in stack if is_ours(f.f_code.co_filename)), innermost)
    code = ours.f_code
    return Whereabouts(
        position=tuple((id(frame.f_code), frame.f_lasti) for frame in stack),
        images=next(filter(None, map(images_of, stack)), ""),
        line=f"{Path(code.co_filename).name}, line {ours.f_lineno}, {code.co_name}",
        waiting=any(frame.f_code in WAITING for frame in stack),
    )


def callers(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame, and those it was called from."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def images_of(frame: FrameType) -> str:
    """The images that a function works on, if it has any ``references``; "" otherwise.

    All that works on images has them by this name; the loop over single images, where files are
    opened, knows at which it is.
    """
    if "references" not in frame.f_code.co_varnames:
        return ""
    known = frame.f_locals
    references = known.get("references")
    if not isinstance(references, References) or not len(references):
        return ""
    looping = frame.f_code is gather.__code__ and "i" in known
    row = known["i"] if looping else 0
    path = shown(next(filter(None, references.sources[row]), ""))
    first, last = int(references.index[row]), int(references.index[-1])
    if not path:
        return ""  # kernels are being compiled
    if looping or first == last:
        return f"image {first} ({path})"
    return f"images {first} to {last} ({path} and those after it)"
