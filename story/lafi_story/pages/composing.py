"""Composes pages: lays the panels out, letters each, and once more for text that found no room."""

from collections.abc import Sequence

from lafi_story.pages.layout import Layout
from lafi_story.pages.lettered_panel import LetteredPanel
from lafi_story.pages.lettering import Letters
from lafi_story.pages.page import Comic, Page
from lafi_story.pages.source import Source


def compose(source: Source, letters: Sequence[tuple[Letters, ...]], layout: Layout) -> Comic:
    """The pages. letters: the texts of each panel. Raises StoryboardError for too much text."""
    panels = [LetteredPanel(source, at, texts, layout) for at, texts in enumerate(letters)]
    while True:
        laid_out = layout.pages([panel.wanted() for panel in panels])
        cells = [cell for page in laid_out for cell in page.cells]
        fits = [panels[cell.panel].fits(cell.picture) for cell in cells]
        if all(fits):
            break
    pages = tuple(
        Page(
            layout.sheet.width,
            round(page.height),
            layout.sheet.dpi,
            tuple(panels[cell.panel].picture(cell.picture) for cell in page.cells),
            tuple(one for cell in page.cells for one in panels[cell.panel].lettered(cell)),
        )
        for page in laid_out
    )
    notes = [note for panel in panels for note in panel.notes()]
    right_to_left = layout.order == "rtl"
    return Comic(source.title, source.language, right_to_left, pages, (*source.notes, *notes))
