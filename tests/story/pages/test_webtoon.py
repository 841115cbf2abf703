"""One strip."""

from lafi_story.pages.layout import STRIP, Wanted
from lafi_story.pages.webtoon import Webtoon


def test_a_strip_is_cut_between_panels():
    pages = Webtoon(STRIP, "ltr").pages([Wanted(0.5)] * 20)
    assert len(pages) > 1
    assert all(page.height <= STRIP.height for page in pages)
