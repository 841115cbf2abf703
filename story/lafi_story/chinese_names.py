"""Who is named in a Chinese paragraph: names, surnames with titles, roles, pronouns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from lafi_story.language import Age, Gender, Mention

_NEW: Final = re.compile(r"(?:[一两几有](?:个|位|名)|[出来了着]个)[^，。！？“”]{0,8}$")
_ONE_OF: Final = re.compile(r"(?:[大小]的|[一另]个|[老大]?[大二三四])$")
"""`大的叫柳长亭，小的叫顾三更`: each is somebody else than who was named before."""
_NO_BEGINNING: Final = "一二两三四五六七八九十几多每各这那哪某有没无的和与跟让使令对把被是在"
_NO_NAME: Final = "的了着过说道问答笑在是也都又就还把被对给和跟与从向看走一不没有便却才只正"
_ORDER: Final = "大二三四五六七八九小老幺"
_KIN: Final = (
    f"[{_ORDER}阿堂表]?(?:爷爷|奶奶|姥姥|姥爷|伯伯|叔叔|姑姑|姨妈|舅舅|婶婶|嫂子)"
    f"|[{_ORDER}堂表]?(?:叔公|姑婆|舅公|姨婆|舅妈|姑妈|姑父|姨父|伯父|伯母|叔父|婶子|姐夫|妹夫|弟妹)"
    f"|[{_ORDER}阿堂表](?:叔|伯|姑|姨|舅|婶|嫂|哥|姐|弟|妹|爷|爹)(?![爷叔伯姑姨舅婶嫂哥姐弟妹子])"
    r"|(?<![爸大阿老小])爸(?![爸妈])|(?<![妈大阿老小姑姨舅爸干奶])妈(?![妈祖的呀])"
    r"|(?<![爹老干])爹(?![爹娘])|阿爸|阿妈|阿娘|阿公|阿婆|老爸|老妈|娘亲|姥姥|姥爷|公公|外公|外祖[父母]"
)
"""Words for relatives, with their order by age, `二叔`, `大伯`."""
_BEGINS: Final = re.compile(
    r"(?<![\u4e00-\u9fff])([\u4e00-\u9fff]{1,3}?[人客匠婆翁汉僧童卫])(?=[\u4e00-\u9fff])"
)
"""A clause begins so, `独臂人坐下`: a noun of this form that does things is somebody."""
_PERSON: Final = re.compile(
    r"[\u4e00-\u9fff]{1,2}(?:人|客|匠|婆|翁|妇|汉|夫|僧|童|贩|员|师|士|卫|警|兵)|瘸子|瞎子|聋子|哑巴|胖子|瘦子"
    r"|驼背|结巴|矮子|秃子|疯子|骗子|呆子|傻子|小子|妻子|[男女学新老]生|丫头|[\u4e00-\u9fff]?老头|[\u4e00-\u9fff]?[同徒][学事弟]"
)
"""Forms of nouns that are people, `独臂人`, `刀客`, `船夫`."""
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
        self._role = re.compile("|".join((_KIN, *self._roles)))
        self._being = self._being_of()
        calling = "|".join(lexicon["calling"])
        self._called = re.compile(
            rf"(?:{calling})[他她我它]?(?:做|作|为|是)?([\u4e00-\u9fff]{{2,4}})(?=[，。！？”]|$)"
        )

    def _being_of(self) -> re.Pattern[str]:
        """`掌柜是个瘸子`: what somebody is, as another name."""
        return re.compile(
            rf"(?:是|就是|乃是)(?:一?[个位名])?[^，。！？；：的“”「」]{{0,4}}?({self._role.pattern})(?=[，。！？；])"
        )

    def gender_of(self, name: str) -> Gender:
        """What titles and roles tell."""
        if name.endswith(
            (*self._words["titles_female"], *self._words["women"], *self._words["women_ends"])
        ):
            return "female"
        if name.endswith(
            (*self._words["titles_male"], *self._words["men"], *self._words["men_ends"])
        ):
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
            if len(a) == 2 and a[0] == "老" and a[1] == b[0] and b == a[1] + self._title_of(b):
                return a[1] in self._words["surnames"]  # `老周` and `周师傅`
            if len(a) == 2 and a[0] in "小阿老" and a[1] == b[0] and len(b) in (2, 3):
                return a[1] in self._words["surnames"] and not self._title_of(b)
            if (
                len(a) == 2
                and (a[0] == a[1] or a[0] in "小阿老")
                and len(b) in (2, 3)
                and a[1] == b[-1]
                and not (self._role.fullmatch(a) or self._role.fullmatch(b))
            ):
                return b[0] != a[0] or a[0] not in "小阿老"
        return False

    def differ(self, one: str, other: str) -> bool:
        """Two surnames, one of them with a title: `孙师傅` and `王老师`."""
        titled = [bool(self._titled.fullmatch(name)) for name in (one, other)]
        surnames = [self._surname(name) for name in (one, other)]
        return any(titled) and all(surnames) and surnames[0] != surnames[1]

    def _surname(self, name: str) -> str:
        """`王` of `王老师`, `老王` and `王小明`; "": it has none."""
        if len(name) == 2 and name[0] in "老小" and name[1] in self._words["surnames"]:
            return name[1]
        whole = self._titled.fullmatch(name) or (len(name) == 3 and not self._role.fullmatch(name))
        return name[0] if whole and name[0] in self._words["surnames"] else ""

    def _title_of(self, name: str) -> str:
        """The title or role with which it ends; "": none."""
        words = (*self._titles, *self._roles)
        return next((str(word) for word in words if name.endswith(word)), "")

    def titled(self, text: str) -> list[str]:
        """Surnames with titles."""
        return [match[0] for match in self._titled.finditer(text)]

    def learn(
        self, counts: Mapping[str, int], text: str = "", people: Collection[str] = ()
    ) -> None:
        """Keep what is found more than once and looks like a name.

        text: in which a name that was cut short, `顾三` of `顾三更`, is made whole. people: nouns
        of which those that are people become roles.
        """
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
        names |= {whole for word in names if (whole := self._whole(word, text))}
        begins = Counter(_BEGINS.findall(text))
        self._made_of({*people, *(word for word, count in begins.items() if count > 1)})
        ordered = sorted(names, key=lambda word: (-len(word), word))
        self._learned = re.compile("|".join(map(re.escape, ordered)) or r"(?!)")

    def _made_of(self, nouns: Collection[str]) -> None:
        made = {
            noun
            for noun in nouns
            if _PERSON.fullmatch(noun)
            and noun not in self._words["not_people"]
            and noun[0] not in _NO_BEGINNING
        }
        ordered = sorted({*made, *self._roles}, key=lambda word: (-len(word), word))
        self._role = re.compile("|".join((_KIN, *map(re.escape, ordered))))
        self._being = self._being_of()

    def _whole(self, word: str, text: str) -> str:
        """A surname with one character, and the one that always follows it; "": none does."""
        if len(word) != 2 or word[0] not in self._words["surnames"]:
            return ""
        after = Counter(re.findall(rf"{word}(.)?", text))
        found, count = max(after.items(), key=lambda pair: pair[1]) if after else ("", 0)
        name = bool(re.fullmatch(r"[\u4e00-\u9fff]", found)) and found not in _NO_NAME
        return word + found if name and count >= 3 and count == after.total() else ""

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
        named = [m for m in mentions if not m.thought and m.kind in ("name", "role")]
        for one in named:
            match = self._being.match(text, one.end)
            if match and match[1] not in self._words["generic"]:
                yield one.text, match[1]
        for match in self._called.finditer(text):
            name = match[1]
            if name in self._words["not_names"] or _ONE_OF.search(text[: match.start()]):
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
