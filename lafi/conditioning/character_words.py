"""Which part of a panel's prompt is which character's words, where those are limited to a region.

Knows storyboards and text, neither tokenizers nor tensors: nothing here imports torch.
"""

from lafi.board.injection import Injection
from lafi.board.limits import folded
from lafi.board.storyboard import PLACEHOLDER, Panel, Storyboard
from lafi.model.text_stack import WordSpan

EVERYWHERE = (0.0, 0.0, 1.0, 1.0)
"""The region of a character that has none, or one as large as the panel."""


def limited_words(
    storyboard: Storyboard, panel: Panel, injection: Injection | None = None
) -> tuple[WordSpan, ...]:
    """Where in `panel.prompt_text` the captions of characters with a region stand, in order.

    slot: place in `panel.characters`. injection: of a stage, default the panel's. None at all
    where its `words` are `everywhere`.
    """
    given = injection or storyboard.effective_injection(panel)
    if given.words == "everywhere":
        return ()
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
    return tuple(spans)
