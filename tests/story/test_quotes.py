import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi_story.quotes import quotes_of


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"Come!" said Mia. "Now."', ["Come!", "Now."]),
        ("“等等我！”阿明跑来，“快点。”", ["等等我！", "快点。"]),
        ("「来吧。」他说。", ["来吧。"]),
        ("'Come on,' said Tim, 'it's late.'", ["Come on,", "it's late."]),
        ("He read the book “War and Peace” twice.", []),
        ("“It never ends", ["It never ends"]),
        ("It was Tim's dog's bone.", []),
    ],
)
def test_what_is_said_is_found(text: str, said: list[str]):
    assert [quote.text for quote in quotes_of(text)] == said


@given(st.text(st.sampled_from("ab .,!\"'“”「」『』«»„‘’"), max_size=60))
def test_quotes_are_in_order_and_apart(text: str):
    at = 0
    for quote in quotes_of(text):
        assert at <= quote.start < quote.end <= len(text)
        assert quote.text in text[quote.start : quote.end]
        at = quote.end
