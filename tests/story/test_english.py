import pytest

from lafi_story.english import EnglishReader


def mentions(english: EnglishReader, text: str) -> list[str]:
    return [m.text for m in english.read(text).mentions if m.kind in ("name", "role")]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Captain Hale met Mrs Ward in London.", ["Captain Hale", "Mrs Ward"]),
        ("Old Tom laughed at the young man.", ["Old Tom", "the young man"]),
        ("She was a thin woman, and she knew it.", []),
        ("Grandpa sat down. A boy came.", ["Grandpa", "the boy"]),
    ],
)
def test_names_and_roles(english: EnglishReader, text: str, names: list[str]):
    assert mentions(english, text) == names


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Nell", "Eleanor Finch", True),
        ("Captain Hale", "Hale", True),
        ("Mr Brenner", "Mrs Brenner", False),
        ("the captain", "Captain Hale", True),
        ("Tom Reed", "Anna Reed", False),
        ("Tom", "Tim", False),
    ],
)
def test_names_of_one_person(english: EnglishReader, one: str, other: str, same: bool):
    assert english.same_name(one, other) is same
    assert english.same_name(other, one) is same


def test_what_is_denied_or_said_aloud_is_not_done(english: EnglishReader):
    reading = english.read('Mia did not run. "I will jump," she said. Tim kicked the ball.')
    assert [(f.kind, f.word) for f in reading.found if f.kind == "actions"] == [
        ("actions", "kicking")
    ]


def test_looks_have_an_owner(english: EnglishReader):
    text = "Mia had long black hair and a yellow sweater. Her brother was fat."
    said = {(look.slot, look.value) for look in english.read(text).looks}
    assert {("hair", "black"), ("hairstyle", "long"), ("top", "yellow"), ("build", "stout")} <= said
    assert ("hair", "blond") not in said
    assert english.read("Mia looked across the thin ice.").looks == ()


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        (
            "He wore a striped green top and blue trousers.",
            {"pattern striped", "top green", "bottom navy", "garment trousers"},
        ),
        (
            "He wore blue trousers and a striped green top.",
            {"pattern striped", "top green", "bottom navy", "garment trousers"},
        ),
        (
            "Anna wore a red coat, white shorts and a scarf.",
            {"top red", "bottom cream", "garment shorts", "accessory scarf"},
        ),
        ("Her hair was white and curly.", {"hair white", "hairstyle curly"}),
        ("He had short black hair.", {"hairstyle short", "hair black"}),
    ],
)
def test_each_colour_belongs_to_what_stands_behind_it(
    english: EnglishReader, text: str, looks: set[str]
):
    assert {f"{look.slot} {look.value}" for look in english.read(text).looks} == looks


@pytest.mark.parametrize(
    ("text", "later"),
    [
        ("The next morning they left.", True),
        ("One fine day he was gone.", True),
        ("One day, he was gone.", True),
        ("One day is enough.", False),
        ("One day's march lay ahead.", False),
        ("One day-old chick sat there.", False),
        ("Some day he would tell her.", False),
        ("Twenty years earlier the two men had stood there.", True),
        ('"The next morning I left," he said.', False),
        ("They waited.", False),
    ],
)
def test_another_time(english: EnglishReader, text: str, later: bool):
    assert english.read(text).later is later


def test_what_is_not_there_is_not_found(english: EnglishReader):
    found = english.read("Nora saw no ball. Ben came without his umbrella. Ann held a book.").found
    assert [one.word for one in found if one.kind == "props"] == ["book"]


def test_called_names_are_pairs(english: EnglishReader):
    reading = english.read("Behind her came Eleanor Finch, whom everybody called Nell.")
    assert ("Eleanor Finch", "Nell") in reading.same
    assert ("Miss Quill", "the librarian") in english.read("Miss Quill, the librarian, sat.").same
