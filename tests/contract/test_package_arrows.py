"""Which folder of the Python package may import which: folders are the steps of the data flow, and nothing goes round.

Every import counts: of types only (``TYPE_CHECKING``), inside functions, relative or absolute. A type that is named is
knowledge of the other folder too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "python" / "tdn"
#: Small modules that everybody may import; they import nothing but each other.
BASE = set("console conventions elements errors files forks iteration malloc ops schema torch_libraries _core".split())
#: What each folder, or module beside the folders, may import; in the order of the flow.
ALLOWED = {
    "config": "",
    "data": "",
    "algebra": "",
    "model": "config data algebra",
    "baselines": "config data model",
    "architectures": "config model baselines",
    "checkpoints": "config model architectures",
    "statistics": "data",
    "evaluation": "data model statistics",
    "relaxation": "",
    "interop": "model",
    "training": "config data model architectures checkpoints statistics evaluation interop",
    "deployment": "config data algebra model",
    "loading": "model checkpoints deployment",
    "ase": "data model loading",
    "doors": "config data model checkpoints evaluation training deployment ase",
    "lammps": "",
    "plan": "config data algebra model deployment",
    "cli": "config data checkpoints statistics evaluation relaxation interop training deployment plan ase doors",
}


def modules(package: Path) -> dict[str, Path]:
    """Dotted names below the package and their files."""
    files = {path.relative_to(package).with_suffix("").parts: path for path in sorted(package.rglob("*.py"))}
    return {".".join(parts[:-1] if parts[-1] == "__init__" else parts): path for parts, path in files.items()}


def imports(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Modules of the package that a file imports."""
    own = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("tdn.") for alias in node.names if alias.name.startswith("tdn."))
        elif isinstance(node, ast.ImportFrom):
            base = own[: len(own) - node.level + 1] if node.level else []
            source = [*base, *(node.module or "").split(".")] if node.level else (node.module or "").split(".")
            if not node.level:
                if source[0] != "tdn":
                    continue
                source = source[1:]
            source = [part for part in source if part]
            for alias in node.names:
                whole = ".".join([*source, alias.name])
                yield whole if whole in known or not source else ".".join(source)


def arrows(package: Path) -> dict[str, set[str]]:
    """Imports of every module, as modules."""
    known = modules(package)
    return {name: set(imports(name, path, known)) - {name} for name, path in known.items() if name}


def room(module: str) -> str:
    return module.split(".")[0]


def forbidden(found: dict[str, set[str]]) -> list[str]:
    """Sentences about the imports that are not allowed."""
    allowed = {name: set(others.split()) | BASE | {name, "__version__"} for name, others in ALLOWED.items()}
    return [
        f"{module} imports {other}, and {room(module)} may not import {room(other)}"
        for module, others in found.items()
        for other in sorted(others)
        if room(other) not in allowed.get(room(module), BASE)
    ]


@pytest.fixture(scope="module")
def found():
    return arrows(PACKAGE)


def test_imports_are_allowed(found):
    assert forbidden(found) == []


def test_allowed_arrows_point_back_in_the_flow_and_are_used(found):
    order, used = list(ALLOWED), {(room(module), room(other)) for module, others in found.items() for other in others}
    for name, others in ALLOWED.items():
        for other in others.split():
            assert order.index(other) < order.index(name), f"{name} stands before {other}"
            assert (name, other) in used, f"{name} imports nothing of {other} any more; take the arrow away"


def test_every_folder_has_its_place(found):
    assert {room(module) for module in found} - BASE == set(ALLOWED)


def test_no_circle_of_modules(found):
    """Not within a folder either."""
    try:
        TopologicalSorter(found).prepare()
    except CycleError as problem:
        pytest.fail(" -> ".join(problem.args[1]))


@pytest.mark.parametrize(
    "line",
    [
        "from tdn.training.loop import Loop",
        "from tdn.training import loop",
        "import tdn.training.loop",
        "from tdn import training",
        "from ..training.loop import Loop",
        "from .. import training",
        "if TYPE_CHECKING:\n    from tdn.training.loop import Loop",
        "def later():\n    from tdn.training.loop import Loop",
    ],
)
def test_a_forbidden_import_is_seen(tmp_path, line):
    for name in ("training/__init__.py", "training/loop.py", "evaluation/__init__.py", "__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "evaluation" / "metrics.py").write_text(line)
    (told,) = forbidden(arrows(tmp_path))
    assert told.startswith("evaluation.metrics imports training")
    assert told.endswith("evaluation may not import training")


def test_a_circle_is_seen(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.py").write_text("from tdn.data.b import x")
    (tmp_path / "data" / "b.py").write_text("def f():\n    from tdn.data import a")
    with pytest.raises(CycleError):
        TopologicalSorter(arrows(tmp_path)).prepare()
