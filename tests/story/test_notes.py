import io

from rich.console import Console

from lafi_story.notes import show_notes


def test_the_first_notes_are_shown_and_the_others_counted():
    said = io.StringIO()
    show_notes([f"note {n}" for n in range(23)], Console(file=said, width=80))
    lines = said.getvalue().splitlines()
    assert (lines[0], lines[19:]) == ("note: note 0", ["note: note 19", "note: and 3 more"])
