"""Who may import whom, read from the source: the import direction of DESIGN.md, section Folders."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
CORE, BACKENDS = ROOT / "neuroprivacy", ROOT / "backends"

#: Packages in the order in which they may build on each other: none imports one of its own row or of a later one.
ORDER = (
    ("core",),
    ("kernels",),
    ("targets",),
    ("program", "data"),
    ("runtime", "graph", "networks"),
    ("lowering", "mapping"),
    ("testing", "divergence", "export"),
    ("training",),
    ("synthesis", "conversion"),
    ("encryption", "energy"),
    ("privacy",),
    ("reporting",),
    ("experiments",),
    ("cli",),
    ("__main__",),
)
RANK = {unit: rank for rank, units in enumerate(ORDER) for unit in units}
#: Packages that know integers and time steps, and those that know torch: the former never import the latter.
INTEGERS = {"kernels", "targets", "program", "runtime", "lowering", "mapping", "testing", "divergence", "graph"}
FLOATS = {"networks", "training", "synthesis", "conversion", "encryption", "export", "privacy"}
#: What may be imported, where the order alone would allow more.
ONLY = {
    "core": set(),
    "kernels": {"core"},
    "targets": {"core", "kernels"},
    "program": {"core", "kernels", "targets"},
    "data": {"core"},
    "runtime": {"core", "kernels", "targets", "program", "data"},
    "graph": {"core", "kernels", "targets", "program"},
}
TORCH = FLOATS
NAMELESS = {"utils", "util", "common", "helpers", "helper", "misc"}


def sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file, as a dotted name."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) + "." if node.level else ""
            module = (base + (node.module or "")).rstrip(".")
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def unit(dotted: str) -> str | None:
    """The package that a dotted name belongs to."""
    parts = dotted.split(".")
    return parts[1] if parts[0] == "neuroprivacy" and len(parts) > 1 and parts[1] in RANK else None


def core_files() -> list[tuple[str, Path]]:
    """(package, file) of the whole library, without the lazy front door."""
    found = []
    for path in sources(CORE):
        name = path.relative_to(CORE).parts[0].removesuffix(".py")
        if name != "__init__":
            found.append((name, path))
    return found


def top_level(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def test_every_unit_has_its_place_in_the_order() -> None:
    unknown = {name for name, _ in core_files()} - RANK.keys()
    assert not unknown, f"give {sorted(unknown)} a place in ORDER, as DESIGN.md draws it"


@pytest.mark.slow
def test_nothing_imports_what_comes_later() -> None:
    faults = [
        f"{path.relative_to(ROOT)} imports {name}"
        for own, path in core_files()
        for name in imports(path)
        if (other := unit(name)) is not None and other != own and RANK[other] >= RANK[own]
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.slow
def test_integers_do_not_know_of_floats() -> None:
    faults = [
        f"{path.relative_to(ROOT)} imports {name}"
        for own, path in core_files()
        for name in imports(path)
        if own in INTEGERS and unit(name) in FLOATS
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("own", sorted(ONLY))
def test_what_stands_alone(own: str) -> None:
    used = {unit(name) for other, path in core_files() if other == own for name in imports(path)}
    assert used - {None, own} <= ONLY[own]


@pytest.mark.slow
def test_torch_only_where_floats_are() -> None:
    faults = []
    for package, path in core_files():
        if top_level(path) & {"torch", "snntorch"} and package not in TORCH:
            faults.append(str(path.relative_to(CORE)))
    assert not faults, f"torch is imported by {faults}"
    assert not [p for p in sources(BACKENDS) if top_level(p) & {"torch", "snntorch"}]


@pytest.mark.slow
def test_click_only_in_the_command_line() -> None:
    faults = [str(path.relative_to(ROOT)) for own, path in core_files() if "click" in top_level(path) and own != "cli"]
    assert not faults


@pytest.mark.slow
def test_hypothesis_only_in_the_strategies() -> None:
    users = [str(path.relative_to(CORE)) for _, path in core_files() if "hypothesis" in top_level(path)]
    assert users == ["testing/strategies.py"]


@pytest.mark.slow
def test_lava_only_in_the_worker() -> None:
    users = {path.relative_to(ROOT) for path in sources(ROOT / "neuroprivacy") if "lava" in top_level(path)}
    users |= {path.relative_to(ROOT) for path in sources(BACKENDS) if "lava" in top_level(path)}
    assert users == {Path("backends/neuroprivacy_lava/worker/worker.py")}


def test_the_worker_imports_nothing_of_ours() -> None:
    worker = BACKENDS / "neuroprivacy_lava/worker/worker.py"
    assert not {name for name in top_level(worker) if name.startswith("neuroprivacy")}


@pytest.mark.slow
def test_the_core_knows_no_backend() -> None:
    packages = {path.name for path in BACKENDS.iterdir() if path.is_dir()}
    faults = [str(path) for path in sources(CORE) if top_level(path) & packages]
    assert not faults
    mentions = [path for path in sources(CORE) if any(package in path.read_text() for package in packages)]
    assert not mentions, f"a backend's package is named in {mentions}"


def test_a_backend_knows_no_other_and_only_the_integers() -> None:
    # The reference is the definition: test vectors are made with it.
    allowed = {"core", "kernels", "targets", "program", "runtime"}
    for package in (path for path in BACKENDS.iterdir() if path.is_dir() and path.name != "__pycache__"):
        for path in sources(package):
            ours = {name for name in top_level(path) if name.startswith("neuroprivacy_")}
            assert ours <= {package.name}, path
            used = {unit(name) for name in imports(path)} - {None}
            assert used <= allowed, f"{path.relative_to(ROOT)} uses {sorted(used - allowed)}"


def test_no_modules_import_each_other() -> None:
    """Anywhere in a file, but for what type checkers alone read."""
    modules = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in sources(CORE)}
    graph = nx.DiGraph()
    for name, path in modules.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        typing = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
        left_out = {id(inner) for node in typing for inner in ast.walk(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and id(node) not in left_out:
                named = [f"{node.module}.{alias.name}" for alias in node.names]
                graph.add_edges_from((name, n if n in modules else node.module) for n in named)
    circles = [sorted(part) for part in nx.strongly_connected_components(graph) if len(part) > 1]
    assert not circles


def test_no_file_has_outgrown_itself() -> None:
    """Above 400 lines a file states its reason in its docstring, above 600 there is none."""
    for path in (p for folder in (CORE, BACKENDS, ROOT / "tools", ROOT / "benchmarks") for p in sources(folder)):
        text = path.read_text(encoding="utf-8")
        lines = len(text.splitlines())
        assert lines <= 600, path
        assert lines <= 400 or "The file is long because" in " ".join(
            (ast.get_docstring(ast.parse(text)) or "").split()
        ), path


def test_the_root_holds_packages_alone() -> None:
    loose = {path.name for path in CORE.iterdir() if path.is_file()} - {"__init__.py", "__main__.py", "py.typed"}
    assert not loose


def test_no_module_without_a_name_of_its_own() -> None:
    names = {path.stem for folder in (CORE, BACKENDS) for path in sources(folder)}
    names |= {path.parent.name for folder in (CORE, BACKENDS) for path in sources(folder)}
    assert not names & NAMELESS


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = (
        "torch",
        "numpy",
        "scipy",
        "networkx",
        "numba",
        "sklearn",
        "matplotlib",
        "pydantic",
        "click",
        "snntorch",
        "nir",
    )
    code = f"import sys, neuroprivacy; print(*[name for name in {heavy!r} if name in sys.modules])"
    assert run(code) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        "neuroprivacy.core.errors", "neuroprivacy.core.storage", "neuroprivacy.targets.spec", "neuroprivacy.program",
        "neuroprivacy.runtime.backend", "neuroprivacy.runtime.reference", "neuroprivacy.runtime.compare",
        "neuroprivacy_c99", "neuroprivacy_fixedpoint", "neuroprivacy_lava",
    ],
)  # fmt: skip
def test_the_integer_side_loads_no_torch(module: str) -> None:
    heavy = ("torch", "snntorch", "nir", "click", "lava")
    code = f"import sys, {module}; print(*[name for name in {heavy!r} if name in sys.modules])"
    assert run(code) == ""


@pytest.mark.slow
def test_naming_the_backends_imports_none() -> None:
    code = (
        "import sys; from neuroprivacy.runtime.backend import backend_names; names = backend_names(); "
        "print(*[n for n in sys.modules if n.startswith('neuroprivacy_')]); assert 'lava' in names"
    )
    assert run(code) == ""


def test_all_public_names_are_declared_once() -> None:
    """`__all__`, the lazy table and `dir` are one list."""
    import neuroprivacy

    assert sorted(neuroprivacy.__all__) == dir(neuroprivacy)
    assert len(set(neuroprivacy.__all__)) == len(neuroprivacy.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = neuroprivacy.nothing
