"""`lafi page` from the folder of a drawing to files that are opened again."""

import json
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image, ImageChops, ImageStat
from pypdfium2 import PdfDocument

from comics import TEXTS, make_drawing, make_steps, panel, write_step
from lafi.board.storyboard import Panel, Storyboard
from lafi_story.pages.command import page
from lafi_story.pages.page import ORIGIN
from lafi_story.yaml_text import to_yaml

SVG = "{http://www.w3.org/2000/svg}"


def told(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "pages.json").read_text("utf-8"))
    return found


def opened(path: Path) -> Image.Image:
    """The picture with its pixels; its file is closed again."""
    with Image.open(path) as image:
        image.load()
        return image


def looks_like(one: Image.Image, other: Image.Image) -> None:
    """Two renderings of a page: seen from afar they are the same."""
    small = [image.convert("RGB").resize((60, 84), Image.Resampling.BOX) for image in (one, other)]
    difference = ImageStat.Stat(ImageChops.difference(*small))
    assert max(difference.mean) < 4
    assert max(most for _, most in difference.extrema) < 60


def plain(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_comic_in_every_kind_of_file(language: str, tmp_path: Path):
    drawing, steps = make_drawing(tmp_path / "d"), make_steps(tmp_path / "s.steps", language)
    out = tmp_path / "out"
    assert page(drawing, out, story=steps, formats="png,pdf,cbz,svg", size="a5") == 0
    texts = TEXTS[language]
    said = [texts["told"], *texts["lines"], texts["ask"]]
    report = told(out)
    panels = [one for sheet in report["pages"] for one in sheet["panels"]]
    assert [one["panel"] for one in panels] == [0, 1, 2]
    assert [one["sentence"] for one in panels] == [texts["told"], texts["asked"], texts["asked"]]
    assert [text["text"] for one in panels for text in one["texts"]] == said
    assert {font["licence"] for font in report["fonts"]} == {"OFL-1.1"}

    for sheet in report["pages"]:
        picture = opened(out / f"page_{sheet['page']:02d}.png").convert("RGB")
        assert picture.size == (sheet["width"], sheet["height"]) == (874, 1240)
        for one in sheet["panels"]:
            for text in one["texts"]:
                x0, y0, x1, y1 = map(round, text["box"])
                dx, dy = (x1 - x0) // 10, (y1 - y0) // 10  # its corners are round
                body = picture.crop((x0 + dx, y0 + dy, x1 - dx, y1 - dy))
                colours = {colour: n for n, colour in body.getcolors(1 << 20) or []}
                white = colours.pop((255, 255, 255))
                assert white > sum(colours.values())  # more paper than ink
                assert all(r == g == b for r, g, b in colours)  # and nothing of the picture

    with PdfDocument(out / "comic.pdf") as pdf:
        assert len(pdf) == len(report["pages"])
        about = pdf.get_metadata_dict()
        assert (about["Title"], about["Subject"]) == (texts["title"], ORIGIN)
        whole = plain("".join(sheet.get_textpage().get_text_bounded() for sheet in pdf))
        assert all(plain(text) in whole for text in said)
        looks_like(pdf[0].render(scale=150 / 72).to_pil(), opened(out / "page_01.png"))

    with zipfile.ZipFile(out / "comic.cbz") as archive:
        info = ElementTree.fromstring(archive.read("ComicInfo.xml"))
        assert info.findtext("Title") == texts["title"]
        assert info.findtext("LanguageISO") == language
        assert info.findtext("PageCount") == str(len(report["pages"]))
        first = archive.read("page_01.png")
    assert first == (out / "page_01.png").read_bytes()

    lettered = ""
    for sheet in report["pages"]:
        root = ElementTree.parse(out / f"page_{sheet['page']:02d}.svg").getroot()
        assert root.get("viewBox") == f"0 0 {sheet['width']} {sheet['height']}"
        assert len(root.findall(f"{SVG}image")) == len(sheet["panels"])
        lettered += "".join(span.text or "" for span in root.iter(f"{SVG}tspan"))
    assert plain(lettered) == plain("".join(said))


def test_balloons_point_to_those_who_speak_and_names_are_as_the_text_has_them(tmp_path: Path):
    drawing, steps = make_drawing(tmp_path / "d"), make_steps(tmp_path / "s.steps")
    assert page(drawing, tmp_path / "out", story=steps) == 0
    (_, two, unknown) = told(tmp_path / "out")["pages"][0]["panels"]
    x0, _, x1, _ = two["box"]
    middle = (x0 + x1) / 2
    assert [text["speaker"] for text in two["texts"]] == ["Mia", "Tim"]
    assert two["texts"][0]["tail"][0] < middle < two["texts"][1]["tail"][0]
    assert unknown["texts"][0]["tail"] is None
    assert any("no tail" in note for note in told(tmp_path / "out")["notes"])


def test_the_storyboard_says_where_figures_stand(tmp_path: Path):
    make_steps(tmp_path / "s.steps")
    drawing = make_drawing(tmp_path / "d")
    regions = {"tim": (0.0, 0.0, 0.5, 1.0), "mia": (0.5, 0.0, 1.0, 1.0)}
    people = [{"name": name, "prompt": name} for name in ("mia", "tim")]
    drawn = Panel(prompt="{tim} and {mia}", regions=regions)
    board = Storyboard(characters=people, panels=[Panel(prompt="a hill"), drawn, Panel(prompt="a")])
    story = tmp_path / "s.yaml"
    story.write_text(to_yaml(board.model_dump(mode="json", exclude_unset=True, by_alias=True)))
    assert page(drawing, tmp_path / "out", story=story) == 0
    assert told(tmp_path / "out")["title"] == "The kite"
    two = told(tmp_path / "out")["pages"][0]["panels"][1]
    middle = (two["box"][0] + two["box"][2]) / 2
    assert two["texts"][0]["tail"][0] > middle > two["texts"][1]["tail"][0]


def test_without_a_story_there_is_no_text_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    assert page(make_drawing(tmp_path / "d"), out, layout="webtoon", order="rtl") == 0
    assert "the pages have no text: no story was given" in capsys.readouterr().err
    (sheet,) = told(out)["pages"]
    assert sheet["width"] == 800
    assert [one["texts"] for one in sheet["panels"]] == [[], [], []]
    assert opened(out / "page_01.png").size == (800, sheet["height"])


def test_the_same_comic_is_the_same_file(tmp_path: Path):
    drawing, steps = make_drawing(tmp_path / "d"), make_steps(tmp_path / "s.steps")
    for out in ("one", "two"):
        assert page(drawing, tmp_path / out, story=steps, formats="pdf,cbz,svg", size="a5") == 0
    for name in ("comic.pdf", "comic.cbz", "page_01.svg", "pages.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_text_that_has_no_room_stands_under_its_panel(tmp_path: Path):
    steps = tmp_path / "s.steps"
    steps.mkdir()
    long = "Then we shall have to walk all the way around the lake. " * 8
    lines: list[dict[str, object]] = [
        {"speaker": "mia", "text": text, "paragraph": 0} for text in ("Yes.", long, long)
    ]
    write_step(steps / "panels.yaml", {"panels": [panel(0, "It rained.", ["mia"], lines)]})
    drawing = make_drawing(tmp_path / "d", 1, (192, 64))
    assert page(drawing, tmp_path / "out", story=steps, size="a5") == 0
    report = told(tmp_path / "out")
    texts = report["pages"][0]["panels"][0]["texts"]
    under = [text for text in texts if text["under"]]
    assert [text["text"][:3] for text in texts if not text["under"]][:1] == ["Yes"]
    assert under[-1]["text"] == f"mia: “{long.strip()}”"
    assert all(text["box"][1] > report["pages"][0]["panels"][0]["box"][3] for text in under)
    assert any("lines[2].text: no room in the panel" in note for note in report["notes"])


def test_too_much_text_is_refused_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    steps = tmp_path / "s.steps"
    steps.mkdir()
    line: dict[str, object] = {"speaker": "mia", "text": "word " * 118, "paragraph": 0}
    panels = [panel(0, "It rained.", ["mia"], [line] * 9)]
    write_step(steps / "panels.yaml", {"panels": panels})
    drawing = make_drawing(tmp_path / "d", 1, (64, 64))
    assert page(drawing, tmp_path / "out", story=steps, size="a5") == 1
    error = capsys.readouterr().err
    assert "panels[0].lines[8].text: got" in error
    assert "allowed: at most 620 px under it" in error
    assert not (tmp_path / "out").exists()


def test_a_sign_that_no_font_has_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    steps = tmp_path / "s.steps"
    steps.mkdir()
    line: dict[str, object] = {"speaker": "mia", "text": "Nice \U0001f600!", "paragraph": 0}
    write_step(steps / "panels.yaml", {"panels": [panel(0, "Then.", ["mia"], [line])]})
    assert page(make_drawing(tmp_path / "d", 1), tmp_path / "out", story=steps) == 1
    error = capsys.readouterr().err
    assert "panels[0].lines[0].text: got '\U0001f600' (U+1F600), allowed: signs of Noto" in error


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"formats": "png,pfd"}, "--format: got 'pfd', allowed: png, pdf, cbz, svg"),
        ({"layout": "spiral"}, "--layout: got 'spiral', allowed: grid, free, webtoon"),
        ({"order": "up"}, "--order: got 'up', allowed: ltr, rtl"),
        ({"size": "a44"}, "--size: got 'a44', allowed: a4, a5, b5, letter (did you mean a4?)"),
        ({"layout": "webtoon", "size": "a4"}, "--size: got 'a4', allowed: none with"),
        ({"captions": "all"}, "--captions: got 'all', allowed: sentence, none"),
        ({"font": Path(__file__)}, "allowed: a TrueType or OpenType font"),
    ],
)
def test_what_is_not_allowed_is_refused_before_any_work(
    options: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert page(tmp_path / "none", tmp_path / "out", **options) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_pages_of_an_earlier_run_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    out.mkdir()
    (out / "page_09.png").write_bytes(b"old")
    assert page(make_drawing(tmp_path / "d", 1), out, size="a5") == 0
    assert "page_09.png: from an earlier run" in capsys.readouterr().err
    assert (out / "page_09.png").read_bytes() == b"old"


def test_a_page_says_how_it_was_made(tmp_path: Path):
    assert page(make_drawing(tmp_path / "d", 1), tmp_path / "out", size="a5") == 0
    image = opened(tmp_path / "out" / "page_01.png")
    assert image.info["Description"] == ORIGIN
    assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)
