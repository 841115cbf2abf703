"""Who is named in a Chinese paragraph: names, surnames with titles, roles, pronouns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from lafi_story.language import Age, Gender, Mention

_NEW: Final = re.compile(r"[一两几有](?:个|位|名)[^，。！？“”]{0,8}$")
_SEVERAL: Final = re.compile(
    r"他们|她们|它们|我们|咱们|大家|[两三四]个?(?:人|女孩|男孩|孩子|姑娘|兄弟|姐妹)"
)
_PRONOUN: Final = re.compile(r"[他她]|我|自己")


class ChineseNames:
    """Knows surnames, titles and roles."""

    def __init__(self, lexicon: dict[str, Any]) -> None:
        self._words = lexicon
        male, female = lexicon["titles_male"], lexicon["titles_female"]
        self._titles = tuple(sorted({*male, *female, *lexicon["titles"]}, key=len, reverse=True))
        self._roles = tuple(
            sorted({*lexicon["men"], *lexicon["women"], *lexicon["people"]}, key=len, reverse=True)
        )
        titles = "|".join(self._titles)
        self._titled = re.compile(f"[{lexicon['surnames']}](?:{titles})")
        self._learned = re.compile(r"(?!)")
        self._role = re.compile("|".join(self._roles))
        calling = "|".join(lexicon["calling"])
        self._called = re.compile(
            rf"(?:{calling})[他她我它]?(?:做|作|为|是)?([\u4e00-\u9fff]{{2,4}})(?=[，。！？”]|$)"
        )

    def gender_of(self, name: str) -> Gender:
        """What titles and roles tell."""
        if name.endswith((*self._words["titles_female"], *self._words["women"])):
            return "female"
        if name.endswith((*self._words["titles_male"], *self._words["men"])):
            return "male"
        return "unknown"

    def age_of(self, name: str) -> Age:
        """What roles and titles tell."""
        if name.endswith(tuple(self._words["old"])):
            return "old"
        return "young" if name.endswith(tuple(self._words["young"])) else ""

    def same_name(self, one: str, other: str) -> bool:
        """`林小雨` and `小雨`, `静静` and `陈静`, `方老师` and `方晓琳`, `老掌柜` and `掌柜`."""
        short, long = sorted((one, other), key=len)
        if short in long and (len(short) > 1):
            return not self._title_of(long) or self._title_of(long) != short or len(long) == 3
        for a, b in ((one, other), (other, one)):
            title = self._title_of(a)
            whole = len(a) == len(title) + 1 and a[0] in self._words["surnames"]
            if title and whole and a[0] == b[0] and not self._title_of(b) and len(b) in (2, 3):
                return True
            if len(a) == 2 and a[0] in "小阿老" and a[1] == b[0] and len(b) in (2, 3):
                return a[1] in self._words["surnames"] and not self._title_of(b)
            if (
                len(a) == 2
                and (a[0] == a[1] or a[0] in "小阿老")
                and len(b) in (2, 3)
                and a[1] == b[-1]
            ):
                return b[0] != a[0] or a[0] not in "小阿老"
        return False

    def _title_of(self, name: str) -> str:
        """The title or role with which it ends; "": none."""
        words = (*self._titles, *self._roles)
        return next((str(word) for word in words if name.endswith(word)), "")

    def titled(self, text: str) -> list[str]:
        """Surnames with titles."""
        return [match[0] for match in self._titled.finditer(text)]

    def learn(self, counts: Mapping[str, int]) -> None:
        """Keep what is found more than once and looks like a name."""
        likely = {word for word, count in counts.items() if count > 1 and self._likely(word)}
        # `铁手张哈哈大笑`: a name with the beginning of the next word is the rarer one.
        names = {
            word
            for word in likely
            if not any(
                word != other and word.startswith(other) and counts[other] > 2 * counts[word]
                for other in likely
            )
        }
        ordered = sorted(names, key=lambda word: (-len(word), word))
        self._learned = re.compile("|".join(map(re.escape, ordered)) or r"(?!)")

    def _likely(self, word: str) -> bool:
        return 2 <= len(word) <= 6 and word not in self._words["not_names"]

    def mentions(self, text: str) -> Iterator[Mention]:
        """Names first, then roles and pronouns where no name stands. In no order."""
        taken: list[tuple[int, int]] = []

        def free(start: int, end: int) -> bool:
            return all(end <= a or b <= start for a, b in taken)

        for pattern in (self._titled, self._learned):
            for match in pattern.finditer(text):
                if free(*match.span()):
                    taken.append(match.span())
                    yield self._named(match.start(), match[0])
        for match in _SEVERAL.finditer(text):
            if free(*match.span()):
                taken.append(match.span())
                yield Mention(match.start(), match.end(), match[0], "pronoun", plural=True)
        for match in self._role.finditer(text):
            if free(*match.span()) and text[match.end() : match.end() + 1] != "们":
                taken.append(match.span())
                start = match.start()
                before = text[max(0, start - 14) : start]
                definite = not _NEW.search(before)
                if re.search(r"是[^，。！？]*$", before) and (
                    not definite or before.endswith("的")
                ):
                    continue  # `她是个瘦瘦的女孩` says what she is, and names nobody else
                yield Mention(
                    start,
                    match.end(),
                    match[0],
                    "role",
                    self.gender_of(match[0]),
                    definite=definite,
                    age=self.age_of(match[0]),
                    generic=match[0] in self._words["generic"],
                )
        for match in _PRONOUN.finditer(text):
            if free(*match.span()):
                yield self._pronoun(match)

    def _named(self, start: int, word: str) -> Mention:
        gender, end = self.gender_of(word), start + len(word)
        if word in self._roles:
            return Mention(start, end, word, "role", gender)
        return Mention(start, end, word, "name", gender, person=True)

    def _pronoun(self, match: re.Match[str]) -> Mention:
        start, end, word = match.start(), match.end(), match[0]
        if word == "我":
            return Mention(start, end, word, "narrator")
        gender: Gender = "unknown"
        if word in "他她":
            gender = "male" if word == "他" else "female"
        return Mention(start, end, word, "pronoun", gender)

    def same(self, text: str, mentions: tuple[Mention, ...]) -> Iterator[tuple[str, str]]:
        """Pairs that the paragraph says are one: `大家都叫他胖子`, `女子说：“我叫柳如霜”`."""
        for match in self._called.finditer(text):
            name = match[1]
            if name in self._words["not_names"]:
                continue
            own = "我叫" in match[0] or "叫我" in match[0]
            before = [m for m in mentions if m.end <= match.start() and m.kind in ("name", "role")]
            if own:
                # Said by oneself: another own name in the words, or a role before them.
                near = [m for m in before[-1:] if m.quoted or m.kind == "role"]
            else:
                near = [m for m in before if not m.quoted]
            if near and near[-1].text != name:
                yield near[-1].text, name
