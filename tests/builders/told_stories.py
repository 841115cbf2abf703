"""Stories told by rules."""

from lafi_story.rules import RulePlanner
from lafi_story.telling import Told, tell
from lafi_story.vocabulary import Vocabulary


def told(text: str, planner: RulePlanner, vocabulary: Vocabulary, **options: object) -> Told:
    """With the title `t`. options: as `tell` takes them."""
    return tell(text.encode(), planner, vocabulary, title="t", **options)  # type: ignore[arg-type]
