"""What benchmarks have left."""

import json
from pathlib import Path

import pytest

RESULTS = sorted(Path("benchmarks/results").glob("*.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.name)
def test_it_is_json_and_ends_as_text_does(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    # Other readers than Python's know neither NaN nor Infinity.
    assert json.loads(text, parse_constant=pytest.fail)
    assert text.endswith(("}\n", "]\n"))
