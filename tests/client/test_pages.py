"""The contact sheet and the report: any text, any picture, nothing from outside."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont

from lafi.board.storyboard import Storyboard
from lafi_client.album import Album, CastMember, PanelEntry, panel_entry
from lafi_client.caption_font import CaptionFont, caption_font
from lafi_client.contact_sheet import contact_sheet
from lafi_client.preview import preview
from lafi_client.report import report

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
VOID = {"meta", "img"}


def picture(size: tuple[int, int] = (16, 16), mode: str = "RGB", kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, 90).save(buffer, kind)
    return buffer.getvalue()


def album(text: str = "a child", panels: int = 3, **entry: Any) -> Album:
    shown = {
        "picture": picture(),
        "caption": text,
        "prompt": text,
        "negative_prompt": text,
        **entry,
    }
    common = {"characters": ("mia",), "sampling": "DDIM", "injection": "none"}
    return Album(
        title=text,
        width=64,
        height=64,
        cast=(CastMember("mia", text, picture(), True),),
        panels=tuple(PanelEntry(number=i, seed=i, **common, **shown) for i in range(panels)),
        seconds=1.0,
    )


def test_the_report_shows_what_steers_a_panel() -> None:
    """The picture as it was given, a pose as its skeleton, each beside the panel with its words."""
    controls = [
        {"kind": "edges", "image": picture(), "prepare": "canny", "end": 0.5},
        {"kind": "pose", "pose": {"nose": [0.5, 0.5]}, "strength": 0.7},
    ]
    prompts = [{"image": picture(), "end": 0.5}, {"character": "mia", "strength": 0.7}]
    board = Storyboard.model_validate(
        {
            "characters": [{"name": "mia", "prompt": "a girl"}],
            "panels": [{"prompt": "a", "control": controls, "picture_prompts": prompts}],
        }
    )
    shown = panel_entry(board, 0)
    assert [each.caption for each in shown.controls] == [
        "edges, by canny, 0 to 0.5",
        "pose, strength 0.7",
        "picture prompt, 0 to 0.5",
        "picture prompt of mia, strength 0.7",
    ]
    assert shown.controls[3].picture is None
    with Image.open(io.BytesIO(shown.controls[1].picture)) as skeleton:
        assert (skeleton.size, skeleton.getpixel((32, 32))) == ((64, 64), (255, 0, 0))
    page = report(Album("", 64, 64, (), (shown,)))
    for each in shown.controls:
        assert each.picture is None or base64.b64encode(each.picture).decode() in page
        assert f"<figcaption>{each.caption}</figcaption>" in page


def test_each_stage_is_told() -> None:
    stages = [{"size": [64, 32]}, {"size": 0.5, "denoise": 0.5, "from": 0}, {"steps": 3}]
    panels = [{"prompt": "a"}, {"prompt": "b", "sampling": {"stages": stages}}]
    board = Storyboard.model_validate({"panels": panels})
    assert panel_entry(board, 1).sampling == (
        "the model's sampler, 30 steps, guidance 5, 64 x 32 px; "
        "then the model's sampler, 30 steps, guidance 5, size times 0.5, denoise 0.5, "
        "from panel 0; "
        "then the model's sampler, 3 steps, guidance 5"
    )


class Checker(HTMLParser):
    """Collects text and addresses, and checks that every element is closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def checked(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert not checker.open
    assert "script" not in re.findall(r"<(\w+)", page)
    assert all(source.startswith("data:image/") for source in checker.sources)
    assert "url(" not in page
    assert "@import" not in page
    return checker


@settings(deadline=None, max_examples=40)
@given(TEXTS.filter(str.isprintable))
def test_a_report_shows_any_text_and_runs_none_of_it(text: str) -> None:
    shown = checked(report(album(text, address=text, error=text, note=text)))
    if text.strip():
        assert text in shown.text


def test_markup_in_a_prompt_stays_text() -> None:
    evil = "</p><script>alert('$title')</script><img src=http://x onerror=x>{{}}$panels"
    shown = checked(report(album(evil)))
    assert evil in shown.text


def test_a_report_shows_settings_times_and_what_is_missing() -> None:
    page = report(album(picture=None, error="out of memory", seconds=1.234, address="ab" * 32))
    shown = " ".join(checked(page).text)
    for words in ("out of memory", "1.23 s", "abababababababab", "DDIM", "Seed"):
        assert words in shown
    assert "no picture" in report(Album("", 8, 8, (CastMember("a", "b", None, False),), ()))


def test_a_report_shows_scores_and_how_often_a_panel_was_drawn() -> None:
    scores = (("mia", 0.876), ("tom", -0.25))
    shown = " ".join(checked(report(album(scores=scores, attempts=3))).text)
    assert "mia 0.88, tom -0.25" in shown
    assert "0, best of 3 drawings" in shown
    assert "Scores" not in " ".join(checked(report(album())).text)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_pictures_are_inside_the_report(kind: str) -> None:
    page = report(album(picture=picture(kind=kind)))
    assert f"data:image/{kind.lower()};base64," in page


@settings(deadline=None, max_examples=12)
@given(TEXTS, st.integers(1, 7))
def test_a_contact_sheet_takes_any_text(text: str, panels: int) -> None:
    sheet = contact_sheet(album(text, panels))
    assert sheet.mode == "RGB"
    assert sheet.getcolors(2) is None  # more than two colours


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (2048, 64), (64, 64)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1"])
def test_a_contact_sheet_takes_any_picture(size: tuple[int, int], mode: str) -> None:
    assert contact_sheet(album(picture=picture(size, mode))).width == 848


def test_a_contact_sheet_takes_missing_and_broken_pictures() -> None:
    plain = contact_sheet(album(picture=None, error="out of memory"))
    broken = contact_sheet(album(picture=b"\x89PNG\r\n\x1a\nnothing"))
    assert plain.size == broken.size


def test_64_panels_and_8_characters_fit() -> None:
    many = album(panels=64)
    cast = tuple(CastMember(f"c{i}", "", None, False) for i in range(8))
    sheet = contact_sheet(Album("many", 64, 64, cast, many.panels))
    assert sheet.width < 1400
    assert sheet.height > 16 * 256


@settings(deadline=None, max_examples=50)
@given(TEXTS, st.integers(30, 300), st.integers(1, 4))
def test_wrapped_lines_fit(text: str, width: int, lines: int) -> None:
    font = caption_font([], 14)
    wrapped = font.wrap(text, width, lines)
    assert len(wrapped) <= lines
    assert all(font.font.getlength(line) <= width for line in wrapped)
    if len(wrapped) < lines:
        assert "".join("".join(wrapped).split()) == "".join(font.showable(text).split())


def test_words_stay_whole_and_chinese_breaks_anywhere() -> None:
    font = CaptionFont(ImageFont.load_default(14))
    assert font.wrap("running on the beach", 90, 9) == ["running on", "the beach"]
    assert font.showable("mia在海滩上, 夜晚 ok") == "mia..., ... ok"
    font.can_show = lambda character: True  # type: ignore[method-assign]
    assert font.wrap("在海滩上奔跑", font.font.getlength("在海"), 9) == ["在海", "滩上", "奔跑"]


def test_an_entry_says_what_the_storyboard_says() -> None:
    storyboard = Storyboard.model_validate(
        {
            "characters": [{"name": "mia", "prompt": "a child"}],
            "negative_prompt": "rain",
            "sampling": {"steps": 20},
            "panels": [
                {
                    "prompt": "{mia} waving",
                    "negative_prompt": "snow",
                    "seed": 9,
                    "sampling": {"sampler": "Euler", "sigmas": "karras"},
                    "injection": {"strength": 1.5, "branches": "conditional"},
                },
                {"prompt": "a beach", "injection": {"layers": "none"}},
                {"prompt": "a beach", "injection": {"reference_noise": "panel", "strength": 0}},
            ],
        }
    )
    first, second, third = (panel_entry(storyboard, number) for number in range(3))
    assert (first.caption, first.prompt) == ("mia waving", "a child waving")
    assert (first.negative_prompt, first.seed, first.characters) == ("rain, snow", 9, ("mia",))
    assert first.sampling == "Euler, 20 steps, guidance 5, karras sigmas"
    assert first.injection == (
        "default, 0 to 0.8, strength 1.5, conditional branch only, reference noise 0.1"
    )
    assert second.injection == "none"
    assert third.injection == "default, 0 to 0.8"


def test_a_preview_is_half_blocks() -> None:
    text = preview(picture((64, 64)), columns=16)
    lines = str(text).splitlines()
    assert lines == ["\u2580" * 16] * 8
    with pytest.raises(OSError, match="cannot identify"):
        preview(b"no picture")
