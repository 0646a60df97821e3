"""Label images of segmented fields, as TIFF, OME-TIFF or OME-Zarr: what other programs open."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scip_mpi import disk
from scip_mpi.loaders.contract import References
from scip_mpi.results.label_zarr import write_zarr
from scip_mpi.segmentation.fields import Fields

FOLDER = "labels"
# Names of the files and folders, as far as patterns can tell them from others'.
PATTERNS = ("[0-9]*_*.tif", "[0-9]*_*.zarr")

Format = Literal["tiff", "ome_tiff", "ome_zarr"]
SUFFIXES = {"tiff": ".tif", "ome_tiff": ".ome.tif", "ome_zarr": ".zarr"}


def write_labels(folder: Path, references: References, fields: Fields, form: Format) -> None:
    """Write ``FOLDER/<catalog index>_<file's name>`` for every field of a batch.

    A label is the object's, as in obs; of channels with masks of their own there is a plane each.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    references : References
        The chunk that the fields are from.
    fields : Fields
    form : {"tiff", "ome_tiff", "ome_zarr"}
    """
    folder.mkdir(exist_ok=True)
    first = int(references.index[0])
    for i in range(len(fields.labels)):
        place = int(fields.labels.index[i])
        source = next(s for s in references.sources[place - first] if s)
        mine = fields.row == i
        number, label = fields.number[mine], fields.objects.label[mine]
        original = np.zeros(int(number.max(initial=0)) + 1, np.uint64)
        original[number] = label
        if original.max() <= np.iinfo(np.uint32).max:
            original = original.astype(np.uint32)
        planes = original[fields.labels.image(i)]
        same = bool((planes == planes[0]).all())
        path = folder / f"{place:06d}_{Path(source).name.split('.')[0]}{SUFFIXES[form]}"
        image = planes[0] if same else planes[fields.of_channel]
        # A chunk that is written down as measured has its label images too.
        if form == "ome_zarr":
            disk.settle(write_zarr(path, image))
        else:
            _write_tiff(path, image, form == "ome_tiff")
            disk.settle([path])


def _write_tiff(path: Path, image: NDArray[Any], ome: bool) -> None:
    import tifffile

    tifffile.imwrite(
        path,
        image,
        ome=ome,
        compression="zlib",
        photometric="minisblack",
        metadata={"axes": "YX" if image.ndim == 2 else "CYX"},
    )
