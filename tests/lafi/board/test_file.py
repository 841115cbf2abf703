import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.board.error import StoryboardError
from lafi.board.image_file import FORMAT_NAMES
from lafi.board.picture_slots import picture_slots
from lafi.board.storyboard import load_storyboard, parse_storyboard

BAD_TEXTS = {
    "": "got nothing, allowed: a mapping with title, variant, width, height, upscale, ",
    "[1, 2]": "got [1, 2], allowed: a mapping with title, variant, width",
    "story": "got 'story', allowed: a mapping with title, variant, width",
    "a: [1": "line 1, column 6: got broken YAML (expected ',' or ']', but got '<stream end>')",
    "a:\n\t- b": "line 2, column 1: got broken YAML (found character '\\t' that cannot start any",
    "a: 'x": "line 1, column 6: got broken YAML (found unexpected end of stream)",
    "a: \x00": "line 1, column 4: got broken YAML (character U+0000 is not allowed)",
    "a: 1\nb: \x1b": "line 2, column 4: got broken YAML (character U+001B is not allowed)",
    "a: 1\n---\nb: 2": "line 2, column 1: got broken YAML (but found another document)",
    "a: !!python/name:os.system x": "line 1, column 4: got broken YAML (could not determine a con",
    "a: &x 1\nb: 2": "line 1, column 4: got broken YAML (anchors (&) and aliases (*) are not allow",
    "a: &x [*x]": "line 1, column 4: got broken YAML (anchors (&) and aliases (*) are not allowed)",
    "a: *x": "line 1, column 4: got broken YAML (anchors (&) and aliases (*) are not allowed)",
    "title: a\ntitle: b": "line 2, column 1: got broken YAML (the field 'title' twice)",
    "[a]: 1": "line 1, column 1: got broken YAML (a key that is no text)",
    "a: !!int x": "got a value that is no YAML, allowed: plain YAML (",
    '{"panels": [}': "line 1, column 13: got broken JSON (Expecting value), allowed: YAML or JSON",
    '{"title": "a", "title": "b"}': "title: got the field twice, allowed: each field once",
    '{"width": ' + "9" * 5000 + "}": "got broken JSON, allowed: Exceeds the limit",
    "[" * 100_000: "got deeply nested YAML, allowed: fewer levels of nesting",
    '{"a":' * 100_000: "got deeply nested JSON, allowed: fewer levels of nesting",
    "# " + "x" * 2**20: "got 1048578 characters, allowed: at most 1048576",
    "1: a\npanels: []": "got 1, allowed: field names that are text",
    "<<: {title: a}\npanels: []": "'<<': unknown field, allowed: title, variant",
    "panels: [{prompt: a}]\nwidth: .inf": "width: got inf, allowed: 32 to 2048 pixels",
}


@pytest.mark.parametrize(("text", "line"), BAD_TEXTS.items(), ids=range(len(BAD_TEXTS)))
def test_bad_text_says_where_and_what(text: str, line: str) -> None:
    with pytest.raises(StoryboardError) as refused:
        parse_storyboard(text)
    assert any(problem.startswith(line) for problem in refused.value.problems)


def test_aliases_cannot_grow() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefg", "bcdefgh")]  # noqa: B905
    with pytest.raises(StoryboardError, match=r"^line 1, column 4: got broken YAML \(anchors"):
        parse_storyboard("\n".join(lines))


@pytest.mark.parametrize(
    "text",
    [
        'panels: [{prompt: "a dog, 女孩"}]\ntitle: no',
        '{"panels": [{"prompt": "a dog, 女孩"}], "title": "no"}',
        '{"panels": [{"prompt": "a dog, 女孩"}], title: no}',
        "{panels: [{prompt: 'a dog, 女孩'}], title: no}",
        '# a remark\n--- \npanels:\n- prompt: "a dog, 女孩"\ntitle: no\n...\n',
    ],
)
def test_yaml_and_json_mean_the_same(text: str) -> None:
    board = parse_storyboard(text)
    assert (board.title, board.panels[0].prompt) == ("no", "a dog, 女孩")


@pytest.mark.parametrize(("word", "guidance"), [("1e-1", 0.1), ("7", 7.0), (".5", 0.5), ("1.", 1)])
def test_plain_numbers(word: str, guidance: float) -> None:
    board = parse_storyboard(f"panels: [{{prompt: a}}]\nsampling: {{guidance: {word}}}")
    assert board.sampling.stages[0].guidance == guidance


@pytest.mark.parametrize("word", ["2026-11-01", "12:30", "0x1F", "010", "yes", "off", "1_000"])
def test_words_stay_words(word: str) -> None:
    assert parse_storyboard(f"panels: [{{prompt: a}}]\ntitle: {word}").title == word


STORY = """
characters:
  - {name: mia, prompt: a girl, reference: faces/mia.png}
  - {name: tom, prompt: a boy}
panels:
  - prompt: "{mia} and {tom}"
"""


def test_references_are_read_beside_the_file(tmp_path: Path, png: bytes) -> None:
    story = tmp_path / "story.yaml"
    story.write_text(STORY, encoding="utf-8-sig")
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "mia.png").write_bytes(png)
    mia, tom = load_storyboard(story).characters
    assert mia.reference is not None
    assert mia.reference.data == png
    assert tom.reference is None
    assert load_storyboard(str(story)) == parse_storyboard(STORY, tmp_path)


def test_text_from_the_wire_reads_no_files(tmp_path: Path, png: bytes) -> None:
    (tmp_path / "mia.png").write_bytes(png)
    text = STORY.replace("faces/mia.png", str(tmp_path / "mia.png"))
    with pytest.raises(StoryboardError, match=r"^characters\[0\].reference: got '.*', allowed: a "):
        parse_storyboard(text)


def _refused(tmp_path: Path, text: str = STORY) -> tuple[str, ...]:
    story = tmp_path / "story.yaml"
    story.write_text(text, encoding="utf-8")
    with pytest.raises(StoryboardError) as refused:
        load_storyboard(story)
    return refused.value.problems


def test_missing_reference_is_named_beside_other_problems(tmp_path: Path) -> None:
    missing = f"characters[0].reference: got 'faces/mia.png', allowed: {FORMAT_NAMES} file (no "
    assert _refused(tmp_path, STORY) == (missing + "such file)",)
    first, second = _refused(tmp_path, STORY + "width: 1\n")
    assert first.startswith(missing)
    assert second.startswith("width: got 1, allowed")


def test_a_folder_is_no_reference(tmp_path: Path) -> None:
    (tmp_path / "faces" / "mia.png").mkdir(parents=True)
    assert _refused(tmp_path)[0].endswith(f"allowed: {FORMAT_NAMES} file (not a file)")


def test_a_text_file_is_no_reference(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "mia.png").write_text("hello", encoding="utf-8")
    line = "characters[0].reference: got 5 bytes that are no image, allowed: a PNG, JPEG"
    assert _refused(tmp_path)[0].startswith(line)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    with (tmp_path / "faces" / "mia.png").open("wb") as stream:
        os.truncate(stream.fileno(), 2**40)
    assert _refused(tmp_path)[0].endswith("(it is larger than 16 MiB)")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, r"story.yaml, allowed: a storyboard file \(no such file\)$"),
        (b"\xff\xfe", "^the file: got byte 0xff at offset 0, allowed: valid UTF-8$"),
        ("title: é".encode("latin-1"), "^the file: got byte 0xe9 at offset 7, allowed: valid"),
        (b"#" * (2**20 + 1), r"allowed: a storyboard file \(it is larger than 1 MiB\)$"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes | None, line: str) -> None:
    story = tmp_path / "story.yaml"
    if content is not None:
        story.write_bytes(content)
    with pytest.raises(StoryboardError, match=line):
        load_storyboard(story)


STAGED = """
panels:
  - {prompt: a}
  - prompt: b
    sampling: {from: sketch.png, mask: [0, 0, 1, 0.5], denoise: 0.5}
  - prompt: c
    sampling:
      stages:
        - {from: 1}
        - {from: {image: sketch.png}, mask: mask.png}
"""


def test_pictures_of_stages_are_read_beside_the_file(tmp_path: Path, png: bytes) -> None:
    (tmp_path / "sketch.png").write_bytes(png)
    (tmp_path / "mask.png").write_bytes(png + b"\0")
    board = parse_storyboard(STAGED, tmp_path)
    stages = [board.effective_sampling(panel).stages for panel in board.panels[1:]]
    (one,), (two, three) = stages
    assert one.source is not None
    assert one.source.image is not None
    assert one.source.image.data == png
    assert one.mask is not None
    assert one.mask.region == (0, 0, 1, 0.5)
    assert two.source is not None
    assert two.source.panel == 1
    assert three.source == one.source
    assert three.mask is not None
    assert three.mask.image is not None
    assert three.mask.image.data == png + b"\0"


def test_pictures_of_stages_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "sketch.png").write_text("hello", encoding="utf-8")
    lines = _refused(tmp_path, STAGED)
    assert [line.split(", allowed")[0] for line in lines] == [
        "panels[1].sampling.from: got 5 bytes that are no image",
        "panels[2].sampling.stages[1].from.image: got 5 bytes that are no image",
        "panels[2].sampling.stages[1].mask: got 'mask.png'",
    ]
    assert lines[2].endswith("a PNG, JPEG, WebP, AVIF, GIF or TIFF file (no such file)")


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.sampled_from(["from", "mask", "x.png"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["panels", "characters", "sampling", "stages", "from", "image"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=30,
    )
)
def test_slots_are_found_in_any_document(document: object) -> None:
    for slot in picture_slots(document):
        assert slot.holder[slot.key] is slot.value
        assert slot.field.endswith(slot.key)
