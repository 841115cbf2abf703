"""Readers are loaded once: spaCy's model takes seconds."""

import pytest

from lafi_story.chinese import ChineseReader
from lafi_story.english import EnglishReader
from lafi_story.rules import RulePlanner
from lafi_story.vocabulary import Vocabulary, load_vocabulary


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return load_vocabulary()


@pytest.fixture(scope="session")
def english(vocabulary: Vocabulary) -> EnglishReader:
    return EnglishReader(vocabulary)


@pytest.fixture(scope="session")
def chinese(vocabulary: Vocabulary) -> ChineseReader:
    return ChineseReader(vocabulary)


@pytest.fixture
def english_rules(vocabulary: Vocabulary, english: EnglishReader) -> RulePlanner:
    return RulePlanner(vocabulary, english)


@pytest.fixture
def chinese_rules(vocabulary: Vocabulary, chinese: ChineseReader) -> RulePlanner:
    return RulePlanner(vocabulary, chinese)
