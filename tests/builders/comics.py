"""A drawing and a story's steps to make pages of: generated pictures, texts in two languages."""

from pathlib import Path

from PIL import Image, ImageDraw

from lafi_story.yaml_text import to_yaml

COLOURS = ("#88aacc", "#ccaa88", "#99bb77", "#bb88aa")
TEXTS = {
    "en": {
        "title": "The kite",
        "told": "The wind had turned in the night.",
        "lines": ["Look, it's flying! It’s really flying…", "Hold on tight, then."],
        "asked": "“Where is it going?” asked Tim.",
        "ask": "Where is it going?",
    },
    "zh": {
        "title": "风筝",
        "told": "夜里，风向变了。",
        "lines": ["快看，飞起来了！真的飞起来了……", "那你可要抓紧，别松手。"],
        "asked": "“它要飞到哪儿去？”小明问。",
        "ask": "它要飞到哪儿去？",
    },
}
NAMES = {"en": ("mia", "tim"), "zh": ("小美", "小明")}


def make_drawing(folder: Path, count: int = 3, size: tuple[int, int] = (96, 96)) -> Path:
    """`panel_00.png` and so on: a plain colour with two figures."""
    folder.mkdir(parents=True)
    for number in range(count):
        image = Image.new("RGB", size, COLOURS[number % len(COLOURS)])
        draw = ImageDraw.Draw(image)
        for x in (size[0] // 4, size[0] * 3 // 4):
            draw.ellipse((x - 8, 40, x + 8, 56), fill="#ffddbb")
        image.save(folder / f"panel_{number:02d}.png")
    return folder


def make_steps(folder: Path, language: str = "en") -> Path:
    """Three panels: narration alone, two who speak, and one whose speaker nobody knows."""
    texts, (first, second) = TEXTS[language], NAMES[language]
    lines = [
        {"speaker": name, "text": text, "paragraph": 1}
        for name, text in zip((first, second), texts["lines"], strict=True)
    ]
    panels = [
        panel(0, texts["told"]),
        panel(1, texts["asked"], [first, second], lines),
        panel(2, texts["asked"], [first], [{"text": texts["ask"], "paragraph": 2}]),
    ]
    folder.mkdir(parents=True)
    write_step(folder / "panels.yaml", {"panels": panels})
    write_step(folder / "outline.yaml", {"title": texts["title"], "language": language})
    people = [{"name": name, "aliases": [name.title()]} for name in (first, second)]
    write_step(folder / "characters.yaml", {"characters": people})
    return folder


def panel(
    number: int,
    sentence: str,
    names: list[str] | None = None,
    lines: list[dict[str, object]] | None = None,
) -> dict[str, object]:
    """A panel of panels.yaml."""
    return {
        "first": number,
        "last": number,
        "scene": 0,
        "sentence": sentence,
        "figures": [{"name": name} for name in names or []],
        "lines": lines or [],
    }


def write_step(path: Path, data: dict[str, object]) -> None:
    """A file of steps."""
    path.write_text(to_yaml(data), encoding="utf-8")
