"""A page as SVG: pictures inside, text kept as text."""

import base64
import io
from xml.etree import ElementTree

from lafi_story.pages.page import BORDER, LINE_WIDTH, ORIGIN, Lettered, Page, Picture

_NAMESPACE = "http://www.w3.org/2000/svg"


def svg(page: Page, title: str, language: str) -> bytes:
    """A file of its own. Fonts are named, not inside; each line keeps its length with another."""
    root = ElementTree.Element(
        "svg",
        {
            "xmlns": _NAMESPACE,
            "width": str(page.width),
            "height": str(page.height),
            "viewBox": f"0 0 {page.width} {page.height}",
            "xml:lang": language,
        },
    )
    ElementTree.SubElement(root, "title").text = title
    ElementTree.SubElement(root, "desc").text = ORIGIN
    ElementTree.SubElement(root, "rect", {"width": "100%", "height": "100%", "fill": "white"})
    for picture in page.pictures:
        _picture(root, picture)
    for one in page.letters:
        _letters(root, one)
    file = io.BytesIO()
    ElementTree.ElementTree(root).write(file, "utf-8", xml_declaration=True)
    return file.getvalue()


def _picture(root: ElementTree.Element, picture: Picture) -> None:
    place = {
        "x": f"{picture.place.x0:.2f}",
        "y": f"{picture.place.y0:.2f}",
        "width": f"{picture.place.width:.2f}",
        "height": f"{picture.place.height:.2f}",
    }
    data = base64.b64encode(picture.drawn.path.read_bytes()).decode()
    ElementTree.SubElement(
        root,
        "image",
        {
            **place,
            "preserveAspectRatio": "xMidYMid slice",
            "href": f"data:image/png;base64,{data}",
        },
    )
    frame = {"fill": "none", "stroke": "black", "stroke-width": f"{BORDER:g}"}
    ElementTree.SubElement(root, "rect", {**place, **frame})


def _letters(root: ElementTree.Element, one: Lettered) -> None:
    group = ElementTree.SubElement(root, "g")
    if one.shape is not None:
        points = " ".join(f"{x:.2f},{y:.2f}" for x, y in one.shape.points)
        line = {"fill": "white", "stroke": "black", "stroke-width": f"{LINE_WIDTH:g}"}
        line["stroke-linejoin"] = "round"
        ElementTree.SubElement(group, "polygon", {"points": points, **line})
    words = one.words
    text = ElementTree.SubElement(
        group,
        "text",
        {
            "font-family": f"'{words.face.family}', 'Noto Sans CJK SC', sans-serif",
            "font-size": str(words.size),
            "text-anchor": "middle",
        },
    )
    for line_of, (x, y) in words.lines:
        length = f"{words.face.length(line_of) * words.size:.2f}"
        at = {"x": f"{x:.2f}", "y": f"{y:.2f}", "textLength": length}
        ElementTree.SubElement(text, "tspan", at).text = line_of
