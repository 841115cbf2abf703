"""Who may import whom, how long a file may be, and what must not be in one."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAX_LINES = 400
MAX_ADAPTER_LINES = 80
MAX_FUNCTION_LINES = 60
GPU_KERNELS = {ROOT / "kernels/lafi_kernels/triton_lang.py"}
PACKAGES = {
    "lafi": ROOT / "lafi",
    "lafi_kernels": ROOT / "kernels/lafi_kernels",
    "lafi_export": ROOT / "export/lafi_export",
    "lafi_client": ROOT / "client/lafi_client",
    "lafi_story": ROOT / "story/lafi_story",
    "lafi_repository": ROOT / "model_repository",
    "lafi_tiny": ROOT / "tiny_model/lafi_tiny",
    "benchmarks": ROOT / "benchmarks",
}
# What of ours each package may import: module names, which stand for all below them.
MAY_IMPORT = {
    "lafi_kernels": set(),
    "lafi": {"lafi_kernels"},
    "lafi_client": {"lafi.board", "lafi.wire", "lafi.origin"},
    "lafi_story": {"lafi.board", "lafi.wire", "lafi.origin"},
    "lafi_export": {"lafi", "lafi_kernels"},
    "lafi_repository": {"lafi", "lafi_kernels"},
    "lafi_tiny": {"lafi", "lafi_kernels"},
    "benchmarks": {"lafi", "lafi_kernels", "lafi_client", "lafi_export", "lafi_story", "lafi_tiny"},
}
# The rooms of `lafi`, each after those that it may import. An engine is a room of its own.
BEFORE = (
    *("board", "model", "wire", "sampling", "ports", "conditioning", "denoising", "store"),
    "drawing",
)
ROOMS = {
    **{room: set(BEFORE[:place]) for place, room in enumerate(BEFORE)},
    "store": set(),
    "origin": {"board"},
    "engine": set(),
    "engine.cuda": {"board", "model", "ports"},
    "engine.onnx": {"board", "model", "ports"},
    "engine.torch": {"board", "model", "ports", "engine.cuda"},
    "engine.tensorrt": {"board", "model", "ports", "engine.cuda", "engine.onnx"},
    "identity": {"board", "model", "wire", "ports", "engine.onnx"},
    "probe": {*BEFORE, "engine.torch"},
    "serving": {*BEFORE, "identity", "engine.onnx", "engine.tensorrt"},
    "front": {"board", "model", "wire"},
    "server": {"front", "model"},
}
ROOMS["app"] = set(ROOMS)
LIGHT_ROOMS = ("board", "model", "wire", "store", "origin", "front", "server", "app")
"""Loading any file of these loads nothing heavy."""

# These run the others, each import inside a function.
RUNNERS = {
    ROOT / "lafi/app" / name
    for name in (
        *("access_options.py", "cli.py", "client_commands.py", "export_commands.py"),
        *("comic.py", "comic_command.py", "critic_options.py", "draw_command.py"),
        "edit_command.py",
        "page_command.py",
        "refine_command.py",
        "story_command.py",
    )
}
MAY_RUN = {"lafi_client", "lafi_export", "lafi_story", "lafi_tiny"}
THIN = {"grpc", "numpy", "PIL", "pydantic", "rich", "tritonclient", "typer", "yaml"}
HEAVY = {"torch", "triton", "diffusers", "transformers", "onnx", "onnxruntime", "openvino"}
LIGHT_ADAPTERS = sorted(
    path
    for path in (ROOT / "model_repository").glob("*/1/model.py")
    if path.parts[-3] != "storyboard"
)
FORBIDDEN_NAMES = {"utils.py", "util.py", "common.py", "helpers.py", "helper.py", "misc.py"}
EVERYWHERE = ("=/mnt/models", "/opt/tritonserver")
"""Where KServe puts a model and NVIDIA's images have Triton Server, on every machine."""
MACHINE_PATH = re.compile(r"""(?<![\w.:/~-])/(work|tmp|root|home|Users|mnt|opt)/\w""")


def tracked_files() -> list[Path]:
    """Files under version control; everything but caches and outputs where there is no git."""
    result = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if result.returncode == 0:
        return [
            path for name in result.stdout.split("\0") if name and (path := ROOT / name).is_file()
        ]
    skipped = {".venv", "out", "runs", "build"}
    files = (path for path in ROOT.rglob("*") if path.is_file())
    return [path for path in files if not skipped & set(path.relative_to(ROOT).parts)]


FILES = tracked_files()
PYTHON = [path for path in FILES if path.suffix == ".py"]
ROOMS_INIT = sorted(
    path for path in PYTHON if path.match("lafi/**/__init__.py") and path.parent != ROOT / "lafi"
)
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".json", ".txt", ".sh", ".pbtxt", ".html", ""}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def package_of(path: Path) -> str:
    return next((name for name, folder in PACKAGES.items() if folder in path.parents), "")


def module_of(path: Path) -> str:
    package = package_of(path)
    parts = path.relative_to(PACKAGES[package]).with_suffix("").parts
    return ".".join((package, *(part for part in parts if part != "__init__")))


@cache
def tree_of(path: Path) -> ast.Module:
    """Of a Python file, which several tests look at."""
    return ast.parse(path.read_text(encoding="utf-8"), name_of(path))


def imports(path: Path, *, top_level: bool = False) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of what a file imports; of `from a import b` both `a` and `a.b`."""
    tree = tree_of(path)
    nodes = _outside_functions(tree) if top_level else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: a relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _outside_functions(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        # What only the type checker reads is not imported.
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _outside_functions(node)


def covered(name: str, allowed: set[str]) -> bool:
    return any(name == module or name.startswith(module + ".") for module in allowed)


def ours(path: Path) -> list[Path]:
    return [file for file in PYTHON if (package_of(file) and file == path) or path in file.parents]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_it_may(package: str):
    wrong = []
    for path in ours(PACKAGES[package]):
        allowed = MAY_IMPORT[package] | {package} | (MAY_RUN if path in RUNNERS else set())
        for line, name in imports(path):
            if name.split(".")[0] in PACKAGES and not covered(name, allowed):
                wrong.append(f"{name_of(path)}:{line}: {package} may not import {name}")
    assert wrong == []


def test_pages_see_the_steps_of_a_story_and_no_planner():
    story = ROOT / "story/lafi_story"
    seen = {"lafi_story." + name for name in ("notes", "pages", "quotes", "step_folder", "steps")}
    wrong = []
    for path in ours(story):
        inside = story / "pages" in path.parents
        for line, name in imports(path):
            if covered(name, {"lafi_story"} if inside else {"lafi_story.pages"}) and not (
                inside and (covered(name, seen) or name == "lafi_story")
            ):
                wrong.append(f"{name_of(path)}:{line}: {name}")
    assert wrong == []


def room_of(module: str) -> str:
    """`lafi.engine.torch.vae` -> `engine.torch`, `lafi.board.limits` -> `board`."""
    parts = module.split(".")[1:]
    return ".".join(parts[:2]) if ".".join(parts[:2]) in ROOMS else parts[0] if parts else ""


def test_a_module_of_the_core_stands_in_a_room():
    outside = [name_of(path) for path in PYTHON if path.parent == ROOT / "lafi"]
    rooms = {
        room_of(module_of(path)) for path in ours(ROOT / "lafi") if path.parent != ROOT / "lafi"
    }
    assert (outside, rooms) == (["lafi/__init__.py"], set(ROOMS))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_that_it_may(room: str):
    wrong = [
        f"{name_of(path)}:{line}: {room} may not import {name}"
        for path in ours(ROOT / "lafi")
        if room_of(module_of(path)) == room
        for line, name in imports(path)
        if covered(name, {"lafi"}) and room_of(name) not in ROOMS[room] | {room}
    ]
    assert wrong == []


def test_rooms_have_no_circle():
    order = {room: place for place, room in enumerate(ROOMS)}
    backwards = [
        (room, other) for room in ROOMS for other in ROOMS[room] if order[other] >= order[room]
    ]
    assert backwards == []


@pytest.mark.parametrize("path", ROOMS_INIT, ids=name_of)
def test_a_room_says_what_it_holds_and_what_it_does_not_know(path: Path):
    said = ast.get_docstring(tree_of(path)) or ""
    assert re.search(r"Knows (no|nothing)|no room imports|not who", said), said


@pytest.mark.parametrize("path", sorted(RUNNERS), ids=name_of)
def test_a_runner_imports_the_others_only_inside_a_function(path: Path):
    early = [name for _, name in imports(path, top_level=True) if covered(name, MAY_RUN)]
    assert early == []


def test_the_client_imports_only_its_thin_dependencies():
    allowed = THIN | set(sys.stdlib_module_names) | {"lafi", "lafi_client"}
    wrong = [
        f"{name_of(path)}:{line}: {name} is not among the base dependencies"
        for path in ours(PACKAGES["lafi_client"])
        for line, name in imports(path)
        if name.split(".")[0] not in allowed
    ]
    assert wrong == []


@pytest.mark.parametrize("package", ["lafi_client", *(f"lafi.{room}" for room in LIGHT_ROOMS)])
def test_the_client_and_light_rooms_load_nothing_heavy(package: str):
    modules = sorted(
        module_of(path)
        for path in PYTHON
        if package_of(path) and covered(module_of(path), {package}) and path.name != "__main__.py"
    )
    assert modules
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"print(sorted(name for name in {sorted(HEAVY)!r} if name in sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("[]\n", "")


@pytest.mark.parametrize("adapter", LIGHT_ADAPTERS, ids=lambda path: path.parts[-3])
def test_only_storyboards_are_drawn_with_torch(adapter: Path):
    """Each served model is a process: with torch it takes seconds to start, and 300 MiB."""
    code = (
        "import runpy, sys\n"
        "from unittest.mock import MagicMock\n"
        # It is there only in a process of the server.
        "sys.modules['triton_python_backend_utils'] = MagicMock()\n"
        f"assert 'TritonPythonModel' in runpy.run_path({str(adapter)!r})\n"
        "heavy = ('torch', 'diffusers', 'transformers')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("[]\n", "")


def test_a_file_keeps_to_its_budget():
    long = [
        f"{name_of(path)}: {lines} lines, allowed are {budget}"
        for path in PYTHON
        if (lines := len(path.read_text(encoding="utf-8").splitlines()))
        > (budget := most_lines(path))
    ]
    assert long == []


def line_count(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def most_lines(path: Path) -> int:
    return MAX_ADAPTER_LINES if path.match("model_repository/*/1/*.py") else MAX_LINES


def test_a_function_keeps_to_its_budget():
    long = [
        f"{name_of(path)}:{node.lineno}: {node.name} has {lines} lines"
        for path in PYTHON
        if path not in GPU_KERNELS and ROOT / "tests" not in path.parents
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert long == []


def test_a_file_has_a_name_of_its_own():
    assert [name_of(path) for path in PYTHON if path.name in FORBIDDEN_NAMES] == []


def test_tests_and_scripts_are_no_packages():
    inits = [path for path in PYTHON if path.name == "__init__.py"]
    assert [name_of(path) for path in inits if not package_of(path)] == []


def test_test_files_mirror_the_sources():
    """A folder of tests/lafi is a room of lafi; names repeat as those of the sources do."""
    rooms = {path.parent.relative_to(ROOT / "lafi").parts[0] for path in ROOMS_INIT}
    folders = {
        path.relative_to(ROOT / "tests/lafi").parts[0]
        for path in PYTHON
        if path.match("tests/lafi/*/test_*.py")
    }
    assert folders <= rooms


def test_every_test_asserts_something():
    silent = []
    for path in PYTHON:
        if ROOT / "tests" not in path.parents:
            continue
        for node in ast.walk(tree_of(path)):
            is_test = isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
            if is_test and not _asserts(node):
                silent.append(f"{name_of(path)}:{node.lineno}: {node.name} asserts nothing")
    assert silent == []


def _asserts(function: ast.AST) -> bool:
    """An `assert`, `pytest.raises`, or a call of something whose name says that it checks."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in {"raises", "warns", "fail"} or called.startswith(("assert", "check")):
                return True
    return False


def test_nothing_of_ours_is_a_global_statement():
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in PYTHON
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Global)
    ]
    assert found == []


def test_no_file_names_a_place_on_one_machine():
    found = []
    for path in FILES:
        if path.suffix not in TEXT or path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
            for place in EVERYWHERE:
                line = line.replace(place, "")
            if MACHINE_PATH.search(line):
                found.append(f"{name_of(path)}:{number}: {line.strip()[:80]}")
    assert found == []


def test_every_package_is_in_the_distribution():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = settings["package-dir"]
    for package, folder in PACKAGES.items():
        if package != "benchmarks":
            assert ROOT / folders[package] == folder
            for init in folder.rglob("__init__.py"):
                assert module_of(init) in settings["packages"], f"{name_of(init)} is not installed"
