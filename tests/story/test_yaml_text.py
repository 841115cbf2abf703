from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lafi.board.file import parse
from lafi_story.yaml_text import to_yaml

TEXT = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=30),
    st.sampled_from(["no", "1e-3", "- a: b", "&x", "*x", "!!python/none", "{a}", "'", "null"]),
)  # fmt: skip
VALUES = st.one_of(TEXT, st.integers(), st.booleans(), st.lists(TEXT, max_size=3))


@given(st.dictionaries(TEXT, VALUES, max_size=5))
def test_whatever_is_written_reads_back(data: dict[str, Any]):
    assert parse("# a comment\n" + to_yaml(data)) == (data or {})


def test_the_same_list_twice_is_no_anchor():
    twice = ["a"]
    assert parse(to_yaml({"x": twice, "y": twice})) == {"x": ["a"], "y": ["a"]}
