"""The layers hold: what a package imports, how long a file is, what a module opens with."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(
    path for part in ("graphids", "grids", "analysis") for path in (ROOT / part).rglob("*.py")
)

LEAVES = {path.stem for path in (ROOT / "graphids" / "core").iterdir()} - {"models"}
LEVELS = (
    ("grids.main",),
    ("graphids.cli", "graphids.commands"),
    ("grids", "analysis", "graphids.runner"),
    ("graphids.stages",),
    ("graphids.data", "graphids.core.models", "graphids.grid", "graphids.store"),
    ("graphids.core",),
)
"""From top to bottom; a package may import those below it and itself, never a sibling."""
SANCTIONED = {"grids.main": {"graphids.cli"}}
"""Imports inside functions that have their reason: the environment comes before the libraries."""


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def level(module: str) -> tuple[int, str] | None:
    """Index of the level and the package on it that a module belongs to."""
    found = [
        (depth, package)
        for depth, packages in enumerate(LEVELS)
        for package in packages
        if module == package or module.startswith(package + ".")
    ]
    return max(found, key=lambda entry: len(entry[1])) if found else None


def imports(path: Path) -> list[tuple[str, bool]]:
    """Modules that a file imports, and whether it does so inside a function."""
    tree = ast.parse(path.read_text())
    local = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in local) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            base = node.module
            names = [f"{base}.{alias.name}" for alias in node.names]
            is_package = (ROOT / Path(*base.split("."))).is_dir()
            found += [(name if is_package else base, id(node) in local) for name in names]
    return found


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_go_down(path: Path) -> None:
    module = module_name(path)
    here = level(module)
    if here is None:
        return
    for imported, _ in imports(path):
        there = level(imported)
        if there is None or there[1] == here[1]:
            continue
        assert there[0] > here[0], f"{module} ({here[1]}) imports {imported} ({there[1]})"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_core_models_read_leaves_only(path: Path) -> None:
    module = module_name(path)
    if module.startswith("graphids.core."):
        head = module.split(".")[2]
        for imported, _ in imports(path):
            if imported.startswith("graphids.core.") and head in LEAVES:
                assert imported.split(".")[2] in LEAVES, f"leaf {module} imports {imported}"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_only_the_runner_imports_ray(path: Path) -> None:
    module = module_name(path)
    if not module.startswith("graphids.runner"):
        assert not [name for name, _ in imports(path) if name.split(".")[0] == "ray"]


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_grid_imports_the_standard_library_only(path: Path) -> None:
    module = module_name(path)
    if module.startswith("graphids.grid"):
        foreign = (
            {n.split(".")[0] for n, _ in imports(path)} - {"graphids"} - sys.stdlib_module_names
        )
        assert not foreign


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_no_import_waits_inside_a_function(path: Path) -> None:
    local = {name for name, inside in imports(path) if inside}
    assert local <= SANCTIONED.get(module_name(path), set())


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_files_are_short_and_say_what_they_are_for(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 300
    assert ast.get_docstring(ast.parse(text)), f"{path} has no module docstring"


def test_reading_verbs_load_neither_torch_nor_ray() -> None:
    code = (
        "import sys, graphids.cli, graphids.commands.table, graphids.commands.status, "
        "graphids.commands.list_grids; "
        "print({'torch', 'ray', 'lightning'} & {name.split('.')[0] for name in sys.modules})"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
