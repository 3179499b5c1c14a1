"""The shape of the code: imports point down, names do not collide with diffusers, public names are documented."""

import ast
from pathlib import Path

import diffusers.pipelines
import pytest

ROOT = Path(__file__).parents[2]
METHODS = {"oeft", "cut", "sincut", "deepi2i"}
LAYERS = [
    {"hub"},
    {"images", "networks", "losses", "training", "metrics", "conversion"},
    {"base"},
    METHODS,
    {"__init__"},
    {"commands", "__main__"},
    {"demo"},
    {"app"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
FILES = [
    path
    for path in [ROOT / "app.py", *sorted((ROOT / "demo").rglob("*.py")), *sorted((ROOT / "pipelines").rglob("*.py"))]
    if path.exists()
]


def part_of(path: Path) -> str:
    """The part of the house that a file belongs to."""
    inside = path.relative_to(ROOT).with_suffix("").parts
    return inside[1] if inside[0] == "pipelines" else inside[0]


def imports(path: Path) -> list[str]:
    """Everything that a file imports, also inside functions, as absolute dotted names."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            names.append(".".join([*above, *(node.module or "").split(".")]).strip("."))
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    own = part_of(path)
    for name in imports(path):
        first, *rest = name.split(".")
        if first not in ("pipelines", "demo", "app"):
            continue
        other = first if first != "pipelines" else (rest[0] if rest else "__init__")
        assert RANK[other] <= RANK[own], f"{path.name} ({own}) imports {name}"
        assert own == other or not {own, other} <= METHODS, f"method folders do not import each other: {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_gradio_stays_in_the_app(path):
    if part_of(path) not in ("demo", "app"):
        assert not [name for name in imports(path) if name.split(".")[0] in ("gradio", "spaces")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_public_names_are_documented(path):
    tree = ast.parse(path.read_text())
    assert path.name == "__init__.py" or ast.get_docstring(tree), "the file says what it is for"
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_") and node in tree.body:
            assert ast.get_docstring(node), f"{node.name} has no docstring"


def test_no_folder_is_taken_for_one_of_diffusers():
    # diffusers stores the last folder of a component's module and looks that up in its own pipelines first.
    for folder in (ROOT / "pipelines").iterdir():
        if (folder / "__init__.py").exists():
            assert not hasattr(diffusers.pipelines, folder.name), folder.name
