"""Reading our own requirements and comparing versions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import InvalidRequirement, Requirement

from lafi.app.requirements import CLIENT, by_extra, problems

releases = st.lists(st.integers(0, 99), min_size=1, max_size=4).map(tuple)


def text(release: tuple[int, ...]) -> str:
    return ".".join(map(str, release))


def wrong(line: str, installed: str | None) -> tuple[str, ...]:
    return problems([Requirement(line)], {"x": installed}.get)


@settings(deadline=None, max_examples=60)
@given(releases, releases)
def test_exactly_one_of_less_equal_and_greater_holds(have: tuple[int, ...], want: tuple[int, ...]):
    held = [not wrong(f"x{operator}{text(want)}", text(have)) for operator in ("<", "==", ">")]
    assert held.count(True) == 1


@settings(deadline=None, max_examples=30)
@given(releases)
def test_trailing_zeros_change_nothing(release: tuple[int, ...]):
    assert wrong(f"x=={text(release)}", text((*release, 0))) == ()


def test_requirements_are_grouped_by_extra():
    lines = [
        "numpy>=1.26",
        'torch==2.13.0; extra == "serve"',
        'numpy[fast]<2,>=1.26.4; python_version > "3" and extra == "serve"',
        'triton==3.9.0; extra == "gpu"',
    ]
    found = by_extra(lines, ["serve", "gpu", "none"])
    assert [*found] == [CLIENT, "serve", "gpu", "none"]
    assert {extra: [str(each.specifier) for each in found[extra]] for extra in found} == {
        CLIENT: [">=1.26"],
        "serve": ["==2.13.0", "<2,>=1.26.4"],
        "gpu": ["==3.9.0"],
        "none": [],
    }


def test_what_is_for_another_platform_is_not_needed():
    lines = ['x==1; sys_platform == "plan9"', 'y==1; sys_platform == "plan9" and extra == "gpu"']
    assert by_extra(lines, ["gpu"]) == {CLIENT: (), "gpu": ()}


def test_a_line_that_cannot_be_read_is_refused():
    with pytest.raises(InvalidRequirement, match="!x"):
        by_extra(["!x"], [])


def test_problems_name_what_is_missing_and_what_is_wrong():
    needed = [Requirement(line) for line in ("numpy>=1.26.4,<2", "torch==2.13.0", "rich>=13")]
    versions = {"numpy": "2.1.0", "rich": "15.0.0"}
    assert problems(needed, versions.get) == (
        "numpy is 2.1.0, needed is <2,>=1.26.4",
        "torch==2.13.0 is missing",
    )


def test_a_version_that_is_none_does_not_do():
    assert wrong("x>=1", "yesterday") == ("x is yesterday, needed is >=1",)


def test_local_and_early_versions_are_versions():
    assert wrong("x==2.13.0", "2.13.0+cpu") == ()
    assert wrong("x>=2.13", "2.14.0rc1") == ()
