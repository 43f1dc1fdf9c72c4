"""Every data set by name. Nothing is read, and nothing heavy imported, until one is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from neuroprivacy.core.errors import ConfigurationError, DataNotFound
from neuroprivacy.data.cifar import (
    CIFAR10_TEST,
    CIFAR10_TRAIN,
    CIFAR100_TEST,
    CIFAR100_TRAIN,
    load_cifar10,
    load_cifar100,
)
from neuroprivacy.data.embedded import load_breast_cancer, load_digits, load_iris
from neuroprivacy.data.mnist import IDX_FILES, load_fashion_mnist, load_mnist
from neuroprivacy.data.roots import DATA_VARIABLE, Alternatives, describe_search, find_folder, search_roots
from neuroprivacy.data.types import Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSet:
    """A data set that lies in files.

    Attributes:
        folder: its folder name under a data root.
        files: the names of each file that it needs.
        load: reads it from the folder that holds these files.
    """

    folder: str
    files: tuple[Alternatives, ...]
    load: Callable[[Path], Dataset]


#: Sets that scikit-learn carries.
EMBEDDED: Mapping[str, Callable[[], Dataset]] = MappingProxyType(
    {"digits": load_digits, "iris": load_iris, "breast-cancer": load_breast_cancer}
)
#: Sets that are read from files; what can be downloaded for them is in `remotes.REMOTES`.
FILE_SETS: Mapping[str, FileSet] = MappingProxyType(
    {
        "mnist": FileSet(folder="mnist", files=IDX_FILES, load=load_mnist),
        "fashion-mnist": FileSet(folder="fashion-mnist", files=IDX_FILES, load=load_fashion_mnist),
        "cifar-10": FileSet(
            folder="cifar-10-batches-bin",
            files=tuple((name,) for name in (*CIFAR10_TRAIN, CIFAR10_TEST)),
            load=load_cifar10,
        ),
        "cifar-100": FileSet(
            folder="cifar-100-binary", files=((CIFAR100_TRAIN,), (CIFAR100_TEST,)), load=load_cifar100
        ),
    }
)


def dataset_names() -> tuple[str, ...]:
    """Every name that `load_dataset` knows, the embedded sets first."""
    return (*EMBEDDED, *FILE_SETS)


def load_dataset(name: str, *, data_root: Path | None = None, download: bool = False) -> Dataset:
    """Load a data set by its name.

    Args:
        name: one of `dataset_names()`.
        data_root: a folder to search before NEUROPRIVACY_DATA and ~/.cache/neuroprivacy/data; see `roots`.
        download: fetch what is missing into the first of these folders.

    Raises:
        ConfigurationError: there is no data set of that name.
        DataNotFound: its files are in none of the folders, or no mirror gives them.
        BadFile: a file is damaged or not what it claims to be.
    """
    if name in EMBEDDED:
        return EMBEDDED[name]()
    if name not in FILE_SETS:
        raise ConfigurationError(f"data set {name!r} is not known; choose one of {', '.join(dataset_names())}")
    source = FILE_SETS[name]
    roots = search_roots(data_root)
    foreign = {other.folder for other in FILE_SETS.values()} - {source.folder}
    found = find_folder(roots, folder=source.folder, files=source.files, foreign=foreign)
    if found is None and download:
        found = _download(name, root=roots[0])
    if found is None:
        searched = describe_search(roots, folder=source.folder, files=source.files)
        raise DataNotFound(
            f"{name}: not found in {searched}; "
            f"name its folder with --data-root or {DATA_VARIABLE}, or fetch it with --download"
        )
    return source.load(found)


def _download(name: str, *, root: Path) -> Path:
    from neuroprivacy.data.download import download_files
    from neuroprivacy.data.remotes import REMOTES

    folder = root / FILE_SETS[name].folder
    download_files(REMOTES[name], folder=folder)
    return folder
