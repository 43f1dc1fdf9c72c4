"""Where data sets lie on disk: which folders are searched, in which order, and what counts as found.

    1. the folder that the caller names (`--data-root`)
    2. the folder in the environment variable NEUROPRIVACY_DATA
    3. ~/.cache/neuroprivacy/data

Under each ROOT a set lies in ROOT/<its folder>, or its files lie in ROOT itself; it counts as found when all
of them are there. A ROOT that bears another set's folder name is not taken for itself: the files of MNIST and
Fashion-MNIST have equal names.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

#: The environment variable that names a data folder; empty counts as unset.
DATA_VARIABLE = "NEUROPRIVACY_DATA"
CACHE_FOLDER = Path("~/.cache/neuroprivacy/data")

#: The names that one file may have; the set is complete when every file is there under one of its names.
Alternatives = tuple[str, ...]


def search_roots(data_root: Path | None = None) -> tuple[Path, ...]:
    """The folders to search, first one first, each once; they need not exist."""
    named = [
        data_root,
        Path(os.environ[DATA_VARIABLE]) if os.environ.get(DATA_VARIABLE) else None,
        CACHE_FOLDER,
    ]
    return tuple(dict.fromkeys(_expanded(root) for root in named if root is not None))


def find_folder(
    roots: Sequence[Path], *, folder: str, files: Sequence[Alternatives], foreign: Collection[str]
) -> Path | None:
    """The first folder that holds the whole set.

    Args:
        roots: as from `search_roots`.
        folder: the set's own folder name.
        files: the names of each of its files.
        foreign: the folder names of the other sets.

    Returns:
        ROOT/folder or ROOT; None where no root holds all files.
    """
    for root in roots:
        for candidate in _candidates(root, folder=folder, foreign=foreign):
            if not missing_files(candidate, files=files):
                return candidate
    return None


def describe_search(roots: Sequence[Path], *, folder: str, files: Sequence[Alternatives]) -> str:
    """The searched folders as one list for an error message; a data set that is incomplete is reported as such."""
    return ", ".join(_describe(root / folder, files=files) for root in roots)


def missing_files(folder: Path, *, files: Sequence[Alternatives]) -> tuple[str, ...]:
    """The first name of every file that lies in `folder` under none of its names."""
    # os.path.isfile, unlike Path.is_file, answers False for a folder that may not be entered.
    return tuple(names[0] for names in files if not any(os.path.isfile(folder / name) for name in names))


def _candidates(root: Path, *, folder: str, foreign: Collection[str]) -> tuple[Path, ...]:
    return (root / folder,) if root.name in foreign else (root / folder, root)


def _describe(folder: Path, *, files: Sequence[Alternatives]) -> str:
    missing = missing_files(folder, files=files)
    return f"{folder} (without {', '.join(missing)})" if 0 < len(missing) < len(files) else str(folder)


def _expanded(root: Path) -> Path:
    try:
        return root.expanduser()
    except RuntimeError:  # no home folder is known: keep the path as it was written
        return root
