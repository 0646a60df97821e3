"""What decides the bits of a run's table: spelt out, as one digest, and how two runs differ."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import scip_mpi
from scip_mpi.batches import FloatArray, UInt8Array
from scip_mpi.config import Config
from scip_mpi.loaders.contract import Catalog
from scip_mpi.loaders.texts import PIECE, joined

# Raised when a change of the program changes results: part of the fingerprint.
RESULT_VERSION = 2
# Input files are told apart one by one up to so many, and in as many groups beyond.
GROUPS = 2048
# Letters of a digest: enough for changes that nobody makes on purpose.
SHORT = 16

Facts = dict[str, Any]


def facts_of(
    config: Config,
    catalog: Catalog,
    columns: Sequence[str],
    spillover: FloatArray | None = None,
    illumination: Sequence[FloatArray] | None = None,
) -> Facts:
    """All that decides the table's bits, as JSON can hold it; of the inputs, digests."""
    metadata = {name: _texts(values) for name, (_, values) in catalog.metadata.items()}
    for name, (codes, _) in catalog.metadata.items():
        metadata[name] += _arrays(codes)
    metadata |= {name: _arrays(values) for name, values in catalog.numbers.items()}
    return {
        "config": config.normalised(),
        "version": RESULT_VERSION,
        "columns": list(columns),
        "machine": [platform.machine(), os.environ.get("NUMBA_CPU_NAME", "host")],
        "program": scip_mpi.__version__,
        "spillover": None if spillover is None else spillover.tolist(),
        "illumination": None if illumination is None else _arrays(*illumination),
        "images": len(catalog),
        "names": _texts(catalog.names) + _arrays(catalog.named),
        "places": _arrays(catalog.sources, catalog.within),
        "metadata": metadata,
        "files": len(catalog.sizes),
        "sizes": list(_by_group(catalog.sizes)),
        "times": list(_by_group(catalog.mtimes)),
    }


def fingerprint(facts: Facts) -> str:
    """One digest of the facts: equal fingerprints, equal tables."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def to_payload(facts: Facts) -> UInt8Array:
    """The facts as bytes."""
    return np.frombuffer(json.dumps(facts).encode(), np.uint8)


def from_payload(payload: UInt8Array) -> Facts:
    """The facts of `to_payload`."""
    facts: Facts = json.loads(bytes(payload))
    return facts


def differences(before: Facts, now: Facts, files: Sequence[str] = ()) -> list[str]:
    """What differs between two runs, each in a few words; nothing if their tables are the same.

    Parameters
    ----------
    files : sequence of str
        Names of the input files now.
    """
    now = from_payload(to_payload(now))
    told = [
        f"config: {path} was {_shown(was)}, is {_shown(value)}"
        for path, was, value in _unequal(before.get("config"), now["config"])
    ]
    for key, what in (("version", "results of the program: version"), ("program", "scip_mpi"),
                      ("machine", "processor")):  # fmt: skip
        if before.get(key) != now[key]:
            told.append(f"{what} was {_shown(before.get(key))}, is {_shown(now[key])}")
    told += _columns(before.get("columns") or [], now["columns"])
    if before.get("spillover") != now["spillover"]:
        told.append("compensation: the spillover matrix has other values")
    if before.get("illumination") != now["illumination"]:
        told.append("illumination_correction: the precomputed functions have other values")
    counted = [
        (key, before.get(key, 0), now[key])
        for key in ("images", "files")
        if before.get(key) != now[key]
    ]
    told += [
        f"inputs: there were {was:,} {key}, there are {value:,}" for key, was, value in counted
    ]
    if not counted:
        told += _inputs(before, now, files)
    if not told and fingerprint(before) != fingerprint(now):
        told.append("what is known of the earlier run is of another form")
    return told


def _inputs(before: Facts, now: Facts, files: Sequence[str]) -> Iterator[str]:
    for key, what in (("names", "names or order"), ("places", "places in their files")):
        if before.get(key) != now[key]:
            yield f"inputs: the images have other {what}"
    for path, _, _ in _unequal(before.get("metadata"), now["metadata"]):
        yield f"inputs: the images' metadata {path} differs"
    for key, what in (("sizes", "sizes"), ("times", "modification times")):
        pairs = zip(before.get(key, ()), now[key], strict=False)
        changed = [k for k, (was, value) in enumerate(pairs) if was != value]
        if changed:
            each = -(-now["files"] // GROUPS)
            if each <= 1:
                first = f", the first is {files[changed[0]]}" if len(files) else ""
                yield f"inputs: {len(changed):,} of {now['files']:,} files have other {what}{first}"
            else:
                yield (
                    f"inputs: files have other {what}, in {len(changed):,} of {len(now[key]):,} "
                    f"parts of the {now['files']:,} files"
                )


def _columns(before: Sequence[str], now: Sequence[str]) -> Iterator[str]:
    if list(before) == list(now):
        return
    gone, come = [c for c in before if c not in set(now)], [c for c in now if c not in set(before)]
    parts = [
        f"{len(names):,} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for names, what in ((gone, "gone"), (come, "new"))
        if names
    ]
    yield f"columns: {' and '.join(parts) or 'in another order'}"


def _unequal(was: Any, value: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two nested mappings differ: key path, value before, value now."""
    if isinstance(was, Mapping) and isinstance(value, Mapping):
        for key in dict.fromkeys([*was, *value]):
            inner = f"{path}.{key}" if path else str(key)
            yield from _unequal(was.get(key), value.get(key), inner)
    elif was != value:
        yield path, was, value


def _shown(value: Any, most: int = 200) -> str:
    text = json.dumps(value)
    return text if len(text) <= most else text[:most] + " ..."


def _texts(texts: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for part in joined(texts):
        digest.update(part)
    return digest.hexdigest()[:SHORT]


def _arrays(*arrays: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        # In parts, as a column may be a single value shown many times.
        for lo in range(0, len(array), PIECE):
            digest.update(np.ascontiguousarray(array[lo : lo + PIECE]).data)
    return digest.hexdigest()[:SHORT]


def _by_group(values: NDArray[np.int64]) -> Iterator[str]:
    """Digests of values, each or in groups of as many."""
    each = max(-(-len(values) // GROUPS), 1)
    for lo in range(0, len(values), each):
        yield _arrays(values[lo : lo + each])
