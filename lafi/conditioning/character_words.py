"""Which parts of a panel's prompt are words of characters and objects that act in a region only.

Knows storyboards and text, neither tokenizers nor tensors: nothing here imports torch.
"""

from collections.abc import Iterator

from lafi.board.injection import Injection
from lafi.board.limits import folded
from lafi.board.placed_object import occurrences
from lafi.board.storyboard import PLACEHOLDER, Panel, Storyboard
from lafi.model.text_stack import WordSpan

EVERYWHERE = (0.0, 0.0, 1.0, 1.0)
"""The region of a character that has none, or one as large as the panel."""


def limited_words(
    storyboard: Storyboard, panel: Panel, injection: Injection | None = None
) -> tuple[WordSpan, ...]:
    """Where in `panel.prompt_text` such words stand, in order.

    slot: of characters with a region their place in `panel.characters`, of objects what
    `object_slot` says. injection: of a stage, default the panel's. None of characters where its
    `words` are `everywhere`.
    """
    given = injection or storyboard.effective_injection(panel)
    slots: dict[str, int] = {}
    if given.words != "everywhere":
        boxes = enumerate(panel.regions.get(name, EVERYWHERE) for name in panel.characters)
        slots = {panel.characters[slot]: slot for slot, box in boxes if box != EVERYWHERE}
    spans = []
    longer = 0
    for found in PLACEHOLDER.finditer(panel.prompt):
        name = folded(found[1])
        caption = storyboard.character(name).caption
        start = found.start() + longer
        if name in slots:
            spans.append(WordSpan(start, start + len(caption), slots[name]))
        longer += len(caption) - len(found[0])
    return tuple(sorted([*spans, *_object_words(storyboard, panel)]))


def object_slot(panel: Panel, number: int) -> int:
    """Of the region of an object, after those of the panel's characters and further references."""
    return len(panel.characters) + len(panel.references) + number


def _object_words(storyboard: Storyboard, panel: Panel) -> Iterator[WordSpan]:
    for number, given in enumerate(panel.objects):
        if given.box == EVERYWHERE:
            continue
        (start,) = occurrences(given.words, panel.prompt)
        before = panel.model_copy(update={"prompt": panel.prompt[:start]})
        start = len(before.prompt_text(storyboard))
        yield WordSpan(start, start + len(given.words), object_slot(panel, number))
