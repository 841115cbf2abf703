"""Which pictures have a part in a panel."""

from collections.abc import Iterator

from lafi.board.reference_image import ReferenceImage
from lafi.board.storyboard import Panel, Storyboard


def drawn_from(storyboard: Storyboard, panel: Panel) -> Iterator[ReferenceImage]:
    """The pictures that a panel is drawn from, and those of panels that it begins with.

    References of its characters and further ones, of its stages, controls and picture prompts.
    """
    shown = {*panel.characters, *filter(None, (p.character for p in panel.picture_prompts))}
    for character in storyboard.characters:
        if character.name in shown and character.reference is not None:
            yield character.reference
    yield from (further.image for further in panel.references)
    yield from (each.image for each in panel.picture_prompts if each.image is not None)
    yield from (each.image for each in panel.control if each.image is not None)
    for stage in storyboard.effective_sampling(panel).stages:
        for slot in (stage.source, stage.mask):
            if slot is not None and slot.image is not None:
                yield slot.image
        if stage.source is not None and stage.source.panel is not None:
            # Always an earlier one, so this ends.
            yield from drawn_from(storyboard, storyboard.panels[stage.source.panel])
