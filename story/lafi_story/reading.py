"""Bytes of a file to an `Outline`: encoding, control characters, paragraphs, heads of chapters.

Paragraphs joined by blank lines and read again are the same paragraphs.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

import charset_normalizer

from lafi.board.error import StoryboardError, Verbatim, problem
from lafi.board.limits import MAX_TITLE_BYTES
from lafi_story.steps import Language, Outline, Paragraph, one_line

MAX_TEXT: Final = 1_000_000
"""Characters of a text."""
MAX_PARAGRAPH: Final = 2000
"""Characters; a longer one is cut at the end of a sentence, so that no step sees more at once."""
_GUESSED: Final = ("gb18030", "big5", "cp1252", "shift_jis", "utf_16")
_MARKS: Final = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_BREAK: Final = re.compile(r"[\s*＊~～#·•=_—–-]{1,40}")
_NUMBER: Final = r"(?:[0-9]{1,3}|[IVXLC]{1,7}|[A-Za-z]{3,9}(?:[- ][A-Za-z]{3,5})?)"
_TITLE: Final = 60
"""Characters of a first line that may be a title."""
_HEAD_EN: Final = re.compile(
    rf"(?:chapter|part|book|section)\s+{_NUMBER}(?:\s*[.:—–-].{{0,80}})?|(?-i:[IVXLC]{{1,7}})\.?"
    r"|prologue|epilogue",
    re.IGNORECASE,
)
_HEAD_ZH: Final = re.compile(
    r"第\s*[0-9零〇一二三四五六七八九十百千两]{1,8}\s*[章回节卷幕部集](?:[\s:：、.].{0,40}|.{0,20})"
    r"|(?:序章|楔子|尾声|引子|序|后记)|[一二三四五六七八九十]{1,3}、?"
)
_MONTH: Final = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY: Final = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_NTH: Final = r"[0-9]{1,2}(?:st|nd|rd|th)?"
_OF_MONTH: Final = rf"(?:(?:the )?{_NTH}(?: of)? {_MONTH}|{_MONTH} {_NTH})"
_DATE_EN: Final = re.compile(
    rf"(?:{_DAY}|(?:{_DAY},? )?(?:the )?{_OF_MONTH}(?:,? [0-9]{{4}})?|day [0-9a-z-]{{1,12}})"
    r"(?:(?:[,.;:] ?|,? ?[–—-] ).{0,30})?[.:]?",
    re.IGNORECASE,
)
_DATE_ZH: Final = re.compile(
    r"(?:[0-9〇零一二三四五六七八九十]{2,4}年)?[0-9一二三四五六七八九十]{1,3}月[0-9一二三四五六七八九十]{1,3}[日号]"
    r"(?:[，, 　]+[^。！？，,]{1,6}){0,3}|星期[一二三四五六日天](?:[，, 　]+[^。！？，,]{1,6}){0,2}"
)
"""The head of a day in a diary: a date, and maybe the weather."""
_ENDS: Final = re.compile(r"[.!?。！？…]+[\"'”’」』)）]*\s*")
_CJK: Final = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_OWN_BREAK: Final = "* * *"


def read_novel(data: bytes, title: str = "", encoding: str = "") -> Outline:
    """The outline of a text file. encoding: of Python's; "": found out.

    Raises StoryboardError for an encoding that does not fit, for a text that is empty or longer
    than MAX_TEXT, and for one with more zero bytes than a text has.
    """
    text, notes = decoded(data, encoding)
    return outline_of(text, title, notes)


def outline_of(text: str, title: str = "", notes: Sequence[str] = ()) -> Outline:
    """The outline of a decoded text. Raises StoryboardError as `read_novel`."""
    if len(text) > MAX_TEXT:
        got = Verbatim(f"{len(text)} characters")
        raise StoryboardError([problem("the text", got, f"at most {MAX_TEXT}: one volume a time")])
    clean, dropped = _cleaned(text)
    paragraphs = tuple(_paragraphs(clean))
    if not any(paragraph.kind == "text" for paragraph in paragraphs):
        raise StoryboardError([problem("the text", Verbatim("no words"), "a story")])
    said = (f"{dropped} control characters were left out",) if dropped else ()
    return Outline(
        title=_title(title),
        language=_language(joined(paragraphs)),
        paragraphs=paragraphs,
        notes=(*notes, *said),
    )


def joined(paragraphs: Sequence[Paragraph]) -> str:
    """The cleaned text: a blank line between two paragraphs."""
    return "\n\n".join(paragraph.text for paragraph in paragraphs) + "\n"


def decoded(data: bytes, encoding: str = "") -> tuple[str, tuple[str, ...]]:
    """Text and notes. Raises StoryboardError; see `read_novel`."""
    for mark, marked in _MARKS:
        if data.startswith(mark):
            return _decode(data, "utf-8-sig" if marked == "utf-8" else marked), ()
    if encoding:
        return _decode(data, encoding), ()
    try:
        return data.decode("utf-8"), ()
    except UnicodeDecodeError as error:
        offset = error.start
    # A sample around the first byte that is no UTF-8: guessing takes long on a whole novel.
    sample = data[max(0, offset - 2000) : offset + 30_000]
    best = charset_normalizer.from_bytes(sample, cp_isolation=list(_GUESSED)).best()
    if best is None:
        got = Verbatim(f"byte 0x{data[offset]:02x} at offset {offset}")
        raise StoryboardError([problem("the text", got, "UTF-8, or name its --encoding")])
    return _decode(data, best.encoding), (f"read as {best.encoding}, a guess: see --encoding",)


def _decode(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        got = Verbatim(f"byte 0x{data[error.start]:02x} at offset {error.start}")
        raise StoryboardError([problem("the text", got, f"valid {encoding}")]) from None
    except LookupError:
        raise StoryboardError([problem("--encoding", encoding, "such as utf-8, gb18030")]) from None


def _cleaned(text: str) -> tuple[str, int]:
    """Line ends as \\n, blanks as blanks; characters that are not seen are left out and counted."""
    text = re.sub(r"\r\n?|[\u2028\u2029\x85\v\f]", "\n", text).replace("\t", " ")
    text = re.sub(r"[^\S\n]", " ", text)
    kept, dropped = [], 0
    for character in text:
        if character == "\n" or character.isprintable():
            kept.append(character)
        elif character not in "\ufeff\u200b\u200c\u200d\u2060\xad":
            dropped += 1
    return unicodedata.normalize("NFC", "".join(kept)), dropped


def _paragraphs(text: str) -> Iterator[Paragraph]:
    found: list[Paragraph] = []
    for block in re.split(r"\n *\n\s*", text.strip("\n ")):
        lines = [" ".join(line.split()) for line in block.split("\n")]
        found += _of_block([line for line in lines if line])
    told = [paragraph.kind == "text" for paragraph in found]
    if any(told[1:]) and told[0] and _is_title(found[0].text):
        found[0] = Paragraph(kind="head", text=found[0].text)
    yield from found


def _is_title(line: str) -> bool:
    """A short first line that ends without a mark stands above the story."""
    return len(line) <= _TITLE and line[-1].isalnum()


def _of_block(lines: list[str]) -> Iterator[Paragraph]:
    start = 0
    if len(lines) > 1 and _head(lines[0]):
        yield Paragraph(kind="head", text=lines[0])
        start = 1
    rest = lines[start:]
    whole = [_unwrapped(rest)] if _wrapped(rest) else rest
    for line in whole:
        yield from map(_paragraph, _pieces(line))


def _paragraph(line: str) -> Paragraph:
    if _BREAK.fullmatch(line):
        return Paragraph(kind="break", text=_OWN_BREAK)
    return Paragraph(kind="head" if _head(line) else "text", text=line)


def _wrapped(lines: list[str]) -> bool:
    """Whether these are one paragraph, broken at the width of a page."""
    full = [len(line) for line in lines[:-1]]
    return len(full) > 0 and min(full) >= 40 and max(full) <= 100 and max(full) - min(full) <= 25


def _unwrapped(lines: list[str]) -> str:
    text = lines[0]
    for line in lines[1:]:
        close = _CJK.match(text[-1]) or _CJK.match(line[0])
        text += line if close else f" {line}"
    return text


def _head(line: str) -> bool:
    if len(line) > 100:
        return False
    heads = [_HEAD_EN, _HEAD_ZH]
    if len(line) <= _TITLE and line[-1] not in '?!？！"”':
        heads += [_DATE_EN, _DATE_ZH]
    return any(head.fullmatch(line) for head in heads)


def _pieces(line: str) -> Iterator[str]:
    while len(line) > MAX_PARAGRAPH:
        ends = [m.end() for m in _ENDS.finditer(line, 0, MAX_PARAGRAPH)]
        cut = ends[-1] if ends and ends[-1] > MAX_PARAGRAPH // 4 else MAX_PARAGRAPH
        piece = line[:cut].strip()
        if piece:
            yield piece
        line = line[cut:].strip()
    if line:
        yield line


def _language(text: str) -> Language:
    sample = text[:50_000]
    letters = sum(character.isalpha() for character in sample)
    return "zh" if 3 * len(_CJK.findall(sample)) > letters else "en"


def _title(title: str) -> str:
    """What was given, as one line that a storyboard takes."""
    return one_line(title).encode()[: MAX_TITLE_BYTES // 8].decode("utf-8", "ignore").strip()
