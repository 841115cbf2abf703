"""Pages say only what is there: trees, links, files, commands, options and imports.

A line with `FIGURES:` waits for something that a later commit brings, and is left out.
"""

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from benchmarks.faults.table import TESTS
from lafi.app.cli import app
from lafi.board.negative_lists import negative_lists
from lafi.board.recipe import known_recipes
from lafi_client.story_file import load_story

ROOT = Path(__file__).parent.parent
VENVS = {".venv", ".venv-chart", ".venv-peers", ".venv-sbom"}
SKIPPED = VENVS | {".pytest_cache", "build", "dist", "node_modules", "out", "runs", "weights"}
PAGES = sorted(
    path for path in ROOT.rglob("*.md") if not SKIPPED & set(path.relative_to(ROOT).parts)
)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"`(?:python )?([\w.-]+/[\w./-]+\.(?:py|md|sh|json|yaml|toml|html))\b")
MAKE = re.compile(r"(?:`|^)make ([a-z-]+)", re.MULTILINE)
COMMANDS = (
    "serve|draw|compare|enrol|identify|forget|export-upscaler|export-safety|export|doctor"
    "|story|edit|polish|adopt|page|comic"
)
LAFI = re.compile(rf"\blafi ({COMMANDS})\b([^\n`|]*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    """The page without comments and without lines that wait for something."""
    text = COMMENT.sub("", page.read_text(encoding="utf-8"))
    return "\n".join(line for line in text.splitlines() if "FIGURES:" not in line) + "\n"


def tree_entries() -> Iterator[Path]:
    """What README's annotated tree names; an entry lies in the last one that is less indented."""
    text = text_of(ROOT / "README.md")
    tree = FENCE.search(text[text.index("## The tree") :])
    assert tree is not None
    above: list[tuple[int, Path]] = []
    for line in tree[2].splitlines():
        indent, name = len(line) - len(line.lstrip()), line.split()[0]
        above = [(other, path) for other, path in above if other < indent]
        path = (above[-1][1] if above else ROOT) / name
        above.append((indent, path))
        yield path


def test_the_tree_names_only_what_is_there() -> None:
    entries = list(tree_entries())
    assert len(entries) > 50
    assert [name_of(path) for path in entries if not path.exists()] == []


def test_the_tree_names_every_module_of_the_core_and_every_package() -> None:
    named = set(tree_entries())
    modules = {path for path in (ROOT / "lafi").rglob("*.py") if path.name != "__init__.py"}
    assert sorted(name_of(path) for path in modules - named) == []
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = settings["tool"]["setuptools"]["package-dir"].values()
    missing = [
        folder
        for folder in folders
        if not any((ROOT / folder) in (path, *path.parents) for path in named)
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_resolve(page: Path) -> None:
    targets = [link.partition("#")[0] for link in LINK.findall(text_of(page))]
    relative = [target for target in targets if target and "://" not in target]
    assert [target for target in relative if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    """In code spans, seen from the page or from the root, if their first folder exists there."""
    missing = []
    for name in FILE.findall(text_of(page)):
        bases = [base for base in (page.parent, ROOT) if (base / name.split("/")[0]).is_dir()]
        generated = name.startswith("out/")
        if bases and not generated and not any((base / name).exists() for base in bases):
            missing.append(name)
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_options_that_a_page_names_exist(page: Path) -> None:
    text = text_of(page)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    wrong = [f"make {target}" for target in MAKE.findall(text) if target not in targets]
    commands = typer.main.get_group(app).commands
    for name, rest in LAFI.findall(text):
        known = {option for parameter in commands[name].params for option in parameter.opts}
        wrong += [f"lafi {name} {option}" for option in OPTION.findall(rest) if option not in known]
    assert wrong == []


def test_recipes_and_negative_lists_that_pages_name_are_there() -> None:
    text = "\n".join(map(text_of, PAGES))
    recipes = {*re.findall(r"^recipe: ([\w-]+)", text, re.MULTILINE)}
    recipes |= {*re.findall(r"^lafi .*--recipe (progressive[\w-]*)", text, re.MULTILINE)}
    assert recipes <= {*known_recipes()}
    lists = re.findall(r"^negative: \[(.*)\]", text, re.MULTILINE)
    named = {name.strip() for found in lists for name in found.split(",")}
    assert named <= {*negative_lists().named}
    assert recipes
    assert named
    page = text_of(ROOT / "docs/recipes.md")
    for name in (*known_recipes(), *negative_lists().named):
        assert f"| `{name}` |" in page


def test_the_storyboards_of_the_page_about_recipes_are_valid(tmp_path: Path) -> None:
    blocks = [
        code for kind, code in FENCE.findall(text_of(ROOT / "docs/recipes.md")) if kind == "yaml"
    ]
    assert blocks
    for place, code in enumerate(blocks):
        path = tmp_path / f"{place}.yaml"
        path.write_text(code, encoding="utf-8")
        assert load_story(path).panels


def python_blocks() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        yield from ((page, code) for kind, code in FENCE.findall(text_of(page)) if kind == "python")


def test_python_on_a_page_is_valid_and_imports_what_there_is() -> None:
    blocks = list(python_blocks())
    assert blocks
    wrong = []
    for page, code in blocks:
        flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        tree = compile(code, name_of(page), "exec", flags)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lafi"):
                module = importlib.import_module(node.module or "")
                wrong += [
                    f"{name_of(page)}: {node.module}.{alias.name}"
                    for alias in node.names
                    if not hasattr(module, alias.name)
                ]
    assert wrong == []


def test_the_storyboard_of_the_readme_is_valid() -> None:
    (code,) = (code for page, code in python_blocks() if page == ROOT / "README.md")
    made: dict[str, object] = {}
    exec(code.partition("\nwith ")[0], made)
    assert len(made["board"].panels) == 2  # type: ignore[attr-defined]


def test_the_page_about_measurements_counts_the_fault_tests() -> None:
    page = (ROOT / "benchmarks" / "README.md").read_text()
    assert re.findall(r"breaks a real server in (\d+) ways", page) == [str(len(TESTS))]
