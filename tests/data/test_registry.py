import subprocess
import sys
from pathlib import Path

import pytest

from neuroprivacy import data
from neuroprivacy.core.errors import EXIT_BAD_FILE, EXIT_USAGE, ConfigurationError, DataNotFound
from neuroprivacy.data import dataset_names, load_dataset


def test_names() -> None:
    assert dataset_names() == (
        *("digits", "iris", "breast-cancer"),
        *("mnist", "fashion-mnist", "cifar-10", "cifar-100"),
    )


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="data set 'minst' is not known; choose one of digits, iris") as caught:
        load_dataset("minst")
    assert all(name in str(caught.value) for name in dataset_names())
    assert caught.value.exit_code == EXIT_USAGE


def test_the_first_folder_that_has_it_is_taken(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("NEUROPRIVACY_DATA", str(root))
    from_variable = load_dataset("mnist", data_root=tmp_path / "empty").digest()
    other = tmp_path / "other"
    (root / "fashion-mnist").rename(tmp_path / "moved")
    other.mkdir()
    (tmp_path / "moved").rename(other / "mnist")
    assert load_dataset("mnist", data_root=other).digest() != from_variable
    assert load_dataset("mnist").digest() == from_variable


def test_the_cache_folder_is_searched_last(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROPRIVACY_DATA", "")
    cache = tmp_path / "home" / ".cache" / "neuroprivacy" / "data"
    cache.parent.mkdir(parents=True)
    root.rename(cache)
    assert load_dataset("cifar-10").name == "cifar-10"
    monkeypatch.setenv("NEUROPRIVACY_DATA", "~/.cache/neuroprivacy/data")
    assert load_dataset("cifar-100").name == "cifar-100"


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "mnist"), ("cifar-10", "cifar-10-batches-bin"), ("mnist", "somewhere")]
)
def test_a_root_that_holds_the_files_itself(root: Path, name: str, folder: str) -> None:
    if folder == "somewhere":
        (root / "mnist").rename(root / folder)
    assert load_dataset(name, data_root=root / folder).name == name


def test_the_folder_of_another_set_is_not_taken_for_a_root(root: Path) -> None:
    with pytest.raises(DataNotFound, match="fashion-mnist: not found in"):
        load_dataset("fashion-mnist", data_root=root / "mnist")


def test_a_missing_set_names_the_folders_and_the_remedies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROPRIVACY_DATA", str(tmp_path / "b"))
    with pytest.raises(DataNotFound) as caught:
        load_dataset("cifar-100", data_root=tmp_path / "a")
    text = str(caught.value)
    cache = tmp_path / "home" / ".cache" / "neuroprivacy" / "data"
    assert text.startswith("cifar-100: not found in ")
    for place in (tmp_path / "a", tmp_path / "b", cache):
        assert str(place / "cifar-100-binary") in text
    assert text.endswith("name its folder with --data-root or NEUROPRIVACY_DATA, or fetch it with --download")
    assert "\n" not in text
    assert caught.value.exit_code == EXIT_BAD_FILE


def test_an_incomplete_set_says_what_is_missing(root: Path) -> None:
    (root / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataNotFound, match=r"mnist \(without t10k-labels-idx1-ubyte.gz\)"):
        load_dataset("mnist", data_root=root)


#: The package around `data` may import more than `data` does, so an empty one stands in for it.
IMPORT_ALONE = """
import sys, types
package = types.ModuleType("neuroprivacy")
package.__path__ = [{folder!r}]
sys.modules["neuroprivacy"] = package
import neuroprivacy.data
print(*sorted({{"sklearn", "scipy", "pooch", "requests", "torch"}} & set(sys.modules)))
"""


@pytest.mark.slow
def test_importing_is_light() -> None:
    code = IMPORT_ALONE.format(folder=str(Path(data.__file__).parents[1]))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_all_names_exist() -> None:
    assert sorted(data.__all__) == sorted(set(data.__all__))
    assert all(hasattr(data, name) for name in data.__all__)
