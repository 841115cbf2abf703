"""Which code runs while engines are built; and the page, which shows what was counted."""

import json
import sys
from pathlib import Path

from benchmarks.gpu_code import RESULTS, Counted, files_here, lines_of_functions, sums, traced

ROOT = Path(__file__).parents[2]
SOURCE = '''"""A module."""
NUMBER = 1
class Thing:
    """Its text."""
    kind = 2
    def act(self, far):
        """What it does."""
        if far:
            return [
                x for x in "ab"
            ]
        return None
'''


def test_lines_of_functions_alone() -> None:
    assert lines_of_functions(SOURCE) == {8, 9, 10, 12}


def test_what_ran_is_traced_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "thing.py"
    path.write_text(SOURCE, encoding="utf-8")
    names: dict[str, type] = {}
    exec(compile(SOURCE, str(path), "exec"), names)
    before = sys.gettrace()
    with traced({str(path)}) as ran:
        names["Thing"]().act(False)
    assert sys.gettrace() is before
    names["Thing"]().act(True)
    assert ran == {str(path): {8, 12}}


def test_every_file_is_there_and_named_once() -> None:
    files = files_here()
    assert len(files) == len(set(files)) > 20


def test_the_page_shows_what_was_counted() -> None:
    told = json.loads(RESULTS.read_text(encoding="utf-8"))
    whole = Counted(**told["all"])
    assert whole == sums({name: Counted(**one) for name, one in told["files"].items()})
    assert 0 < whole.ran < whole.code < whole.lines
    page = (ROOT / "docs" / "tensorrt.md").read_text(encoding="utf-8")
    line = (
        f"{told['before']:,} lines before the real builder was at hand, {whole.lines:,} now; "
        f"{whole.code:,} of them are code of functions, and {whole.ran:,} of those ran"
    )
    assert line in " ".join(page.split())
