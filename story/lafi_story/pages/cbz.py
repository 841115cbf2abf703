"""All pages as a comic book archive: a zip of PNG files with ComicInfo.xml (version 2.0)."""

import io
import zipfile
from collections.abc import Mapping
from xml.etree import ElementTree

from lafi_story.pages.page import ORIGIN, Comic


def cbz(comic: Comic, pictures: Mapping[str, bytes]) -> bytes:
    """The file's bytes. pictures: name -> PNG file, in the order of the pages."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {"ComicInfo.xml": _info(comic, pictures), **pictures}.items():
            # A fixed date, so that the same comic is the same file.
            archive.writestr(zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0)), data)
    return whole.getvalue()


def _info(comic: Comic, pictures: Mapping[str, bytes]) -> bytes:
    root = ElementTree.Element("ComicInfo")
    for name, value in (
        ("Title", comic.title),
        ("Notes", ORIGIN),
        ("PageCount", str(len(comic.pages))),
        ("LanguageISO", comic.language),
        ("Manga", "YesAndRightToLeft" if comic.right_to_left else "No"),
    ):
        ElementTree.SubElement(root, name).text = value
    pages = ElementTree.SubElement(root, "Pages")
    for number, (page, data) in enumerate(zip(comic.pages, pictures.values(), strict=True)):
        sizes = {"ImageWidth": str(page.width), "ImageHeight": str(page.height)}
        attributes = {"Image": str(number), "ImageSize": str(len(data)), **sizes}
        ElementTree.SubElement(pages, "Page", attributes)
    file = io.BytesIO()
    ElementTree.ElementTree(root).write(file, "utf-8", xml_declaration=True)
    return file.getvalue()
