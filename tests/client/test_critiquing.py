"""Panels judged and drawn again: the better one stays, and what was tried is kept beside it."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from fake_triton import panel_event, png
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from lafi.board.critique import BELOW, Judgement, version_seed
from lafi.board.error import StoryboardError
from lafi.board.storyboard import Storyboard
from lafi.wire.events import Accepted, Event, Finished
from lafi_client.commands import draw
from lafi_client.critique_log import CritiqueLog
from lafi_client.critiquing import Critique, Critiquing
from lafi_client.drawing_folder import DrawingFolder
from lafi_client.identity_critic import IdentityCritic

STORY = """
sampling: {steps: 2}
characters: [{name: mia, prompt: a child}]
panels:
- {prompt: "{mia} runs", seed: 5}
- {prompt: "{mia} sits", seed: 6}
- prompt: a house
"""
SCORES = {
    5: 0.2,
    version_seed(5, 1): 0.5,
    version_seed(5, 2): 0.4,
    6: 0.9,
    version_seed(6, 1): 0.1,
    version_seed(6, 2): 0.95,
}


def scored(storyboard: Storyboard, context: grpc.ServicerContext | None) -> Iterator[Event]:
    """Draws every panel; the score of mia depends on the seed."""
    yield Accepted(panels=len(storyboard.panels), portraits=0)
    for number, panel in enumerate(storyboard.panels):
        seen = {"mia": SCORES[panel.seed]} if "mia" in panel.characters else {}
        yield panel_event(storyboard, number).model_copy(update={"scores": seen})
    yield Finished(panels=len(storyboard.panels), seconds=1.0)


class Judge:
    """Gives a judgement for each prompt and seed, and remembers what it was shown."""

    name = "judge"
    needs_scores = False

    def __init__(self, judgements: Mapping[tuple[str, int], Judgement | str]) -> None:
        self.judgements = judgements
        self.shown: list[bytes] = []

    def judge(
        self, board: Storyboard, number: int, png: bytes, scores: Mapping[str, float]
    ) -> Judgement:
        self.shown.append(png)
        panel = board.panels[number]
        found = self.judgements[panel.prompt, panel.seed]
        if isinstance(found, str):
            raise StoryboardError([found])
        return found


def run(
    server: Any, tmp_path: Path, critic: Any = None, text: str = STORY, **more: Any
) -> tuple[int, str]:
    story = tmp_path / "story.yaml"
    story.write_text(text, encoding="utf-8")
    said = io.StringIO()
    numbers = {key: more.pop(key) for key in ("candidates", "changes") if key in more}
    critique = Critique(critic, **numbers) if critic is not None else None
    console = Console(file=said, width=200)
    out = tmp_path / "out"
    code = draw(story, out, server.url, retries=0, critique=critique, console=console, **more)
    return code, said.getvalue()


def log_of(tmp_path: Path) -> Any:
    return json.loads((tmp_path / "out" / "critique.json").read_text(encoding="utf-8"))


def drawn(server: Any) -> list[list[int]]:
    """The seeds of every storyboard that the server got."""
    return [[panel.seed for panel in board.panels] for board in server.received]


@pytest.fixture
def seeing(server: Any) -> Any:
    """A server with a recogniser."""
    server.models.add("identity")
    server.scripts[:] = [scored]
    return server


def test_a_panel_that_is_unlike_is_drawn_again_and_the_better_one_stays(
    seeing: Any, tmp_path: Path
) -> None:
    code, said = run(seeing, tmp_path, IdentityCritic(), changes=2)
    assert code == 0
    assert drawn(seeing) == [[5, 6, 2], [version_seed(5, 1)], [version_seed(5, 2)]]
    why = f"mia is 0.2 like the picture, wanted {BELOW:g}"
    assert f"panel 0, change 1 of 2 ({why}): 0.2 -> 0.5, the new one stays" in said
    assert "panel 0, change 2 of 2" in said
    assert "0.5 -> 0.4, the one before stays" in said
    assert "3 panels judged, 1 drawn again, 1 of them better; nothing to judge in 2" in said
    log = log_of(tmp_path)
    assert log["critic"] == "identity"
    versions = log["panels"]["0"]["versions"]
    assert [(each["seed"], each["score"], each["before"]) for each in versions] == [
        (5, 0.2, None),
        (version_seed(5, 1), 0.5, 0),
        (version_seed(5, 2), 0.4, 1),
    ]
    assert versions[1]["reasons"] == [why]
    assert log["panels"]["0"]["kept"] == 1
    out = tmp_path / "out"
    kept = (out / "panel_00.png").read_bytes()
    assert [(out / each["file"]).read_bytes() == kept for each in versions] == [False, True, False]


def test_a_second_call_draws_and_judges_nothing(seeing: Any, tmp_path: Path) -> None:
    run(seeing, tmp_path, IdentityCritic(), changes=2)
    sent, before = len(seeing.received), (tmp_path / "out" / "panel_00.png").read_bytes()
    code, said = run(seeing, tmp_path, IdentityCritic(), changes=2)
    assert code == 0
    assert "every panel is there already" in said
    assert (len(seeing.received), (tmp_path / "out" / "panel_00.png").read_bytes()) == (
        sent,
        before,
    )
    # As it was written, without a critic.
    assert run(seeing, tmp_path)[0] == 0
    assert drawn(seeing)[sent:] == [[5]]


def test_what_is_drawn_anew_is_judged_anew(seeing: Any, tmp_path: Path) -> None:
    run(seeing, tmp_path, IdentityCritic())
    sent = len(seeing.received)
    run(seeing, tmp_path, IdentityCritic(), panels=[0])
    run(seeing, tmp_path, IdentityCritic(), text=STORY.replace("sits", "stands"))
    first = version_seed(5, 1)
    assert drawn(seeing)[sent:] == [[5], [first], [6]]
    run(seeing, tmp_path, IdentityCritic(), overwrite=True)
    assert drawn(seeing)[sent + 3 :] == [[5, 6, 2], [first]]


def test_of_candidates_the_best_stays_and_nobody_is_drawn_further(
    seeing: Any, tmp_path: Path
) -> None:
    code, said = run(seeing, tmp_path, IdentityCritic(), candidates=3, changes=0)
    assert code == 0
    assert drawn(seeing) == [
        [5, 6, 2],
        [version_seed(5, 1), version_seed(6, 1)],
        [version_seed(5, 2), version_seed(6, 2)],
    ]
    assert "panel 1, candidate 3 of 3: 0.9 -> 0.95, the new one stays" in said
    panels = log_of(tmp_path)["panels"]
    assert [panels[number]["kept"] for number in "012"] == [1, 2, 0]
    assert panels["1"]["versions"][2]["reasons"] == ["candidate 3 of 3"]


def test_without_a_recogniser_nothing_is_drawn(server: Any, tmp_path: Path) -> None:
    code, said = run(server, tmp_path, IdentityCritic())
    assert (code, server.received) == (2, [])
    assert "--critic identity: got a server without a recogniser" in said


def test_a_suggested_prompt_is_drawn_and_kept_if_it_is_better(server: Any, tmp_path: Path) -> None:
    second = version_seed(5, 1)
    judge = Judge({
        ("{mia} runs", 5): Judgement(0.5, ("missing: a dog",), "{mia} runs with a dog"),
        ("{mia} runs with a dog", second): Judgement(0.8),
        ("{mia} sits", 6): Judgement(0.5, ("dark",), "{mia} sits by day"),
        ("{mia} sits by day", version_seed(6, 1)): Judgement(0.5),
        ("a house", 2): Judgement(1.0),
    })  # fmt: skip
    code, said = run(server, tmp_path, judge)
    assert code == 0
    assert [panel.prompt for panel in server.received[1].panels] == [
        "{mia} runs with a dog",
        "{mia} sits by day",
    ]
    assert "prompt '{mia} runs' -> '{mia} runs with a dog': 0.5 -> 0.8, the new one stays" in said
    # Equally good is no better.
    assert "0.5 -> 0.5, the one before stays" in said
    assert "runs with a dog" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_a_prompt_that_the_server_refuses_costs_a_line_and_no_other_panel(
    server: Any, tmp_path: Path
) -> None:
    well = server.scripts[0]

    def careful(storyboard: Storyboard, context: Any) -> Iterator[Event | str | None]:
        if any("dragon" in panel.prompt for panel in storyboard.panels):
            yield "INVALID_ARGUMENT: panels[0].prompt: got 'dragon'"
        else:
            yield from well(storyboard, context)

    server.scripts[:] = [careful]
    judge = Judge({
        ("{mia} runs", 5): Judgement(0.5, ("dull",), "{mia} and a dragon"),
        ("{mia} sits", 6): Judgement(0.5, ("dark",)),
        ("{mia} sits", version_seed(6, 1)): Judgement(0.7),
        ("a house", 2): Judgement(0.5, ("nobody",), "a house of {mia}"),
        ("a house", version_seed(2, 1)): Judgement(0.1),
    })  # fmt: skip
    code, said = run(server, tmp_path, judge)
    assert code == 0
    assert "panel 0 stays as it is: its change 1 of 1 is refused" in said
    assert "got 'dragon'" in said
    assert (
        "panel 2 stays as it is: its change 1 of 1 is refused: prompt: got 'a house of {mia}'"
        in (said)
    )
    assert log_of(tmp_path)["panels"]["1"]["kept"] == 1


def test_a_critic_without_an_answer_is_said_and_given_up(server: Any, tmp_path: Path) -> None:
    judge = Judge({
        ("{mia} runs", 5): Judgement(0.5, ("dull",)),
        ("{mia} runs", version_seed(5, 1)): "no JSON",
        ("{mia} sits", 6): "no JSON",
        ("a house", 2): Judgement(1.0),
    })  # fmt: skip
    code, said = run(server, tmp_path, judge)
    assert code == 5
    assert said.count("not judged: no JSON") == 2
    assert log_of(tmp_path)["panels"]["0"]["kept"] == 0
    silent = Judge(dict.fromkeys(judge.judgements, "no answer"))
    code, said = run(server, tmp_path, silent, overwrite=True)
    assert code == 5
    assert "judge is asked no more" in said
    assert len(server.received) == 3


def test_a_panel_with_which_another_begins_stays(seeing: Any, tmp_path: Path) -> None:
    text = STORY + '- {prompt: "{mia} sits", seed: 6, sampling: {from: {panel: 0}, denoise: 0.5}}\n'
    code, said = run(seeing, tmp_path, IdentityCritic(), text=text)
    assert code == 0
    assert "panel 0 stays as it is: panels that begin with it: 3" in said
    assert len(seeing.received) == 1


def test_stages_with_seeds_and_words_of_their_own_stay(server: Any, tmp_path: Path) -> None:
    text = "panels: [{prompt: a house, sampling: {stages: [{prompt: a hut, seed: 4}]}}]"
    code, said = run(server, tmp_path, Judge({("a house", 0): Judgement(0.1, ("x",), "b")}), text)
    assert code == 0
    assert "panel 0: its stages have prompts of their own, which stay" in said
    assert "panel 0 stays as it is: its stages have seeds of their own" in said
    assert len(server.received) == 1


def test_numbers_that_cannot_be_are_refused() -> None:
    with pytest.raises(StoryboardError, match="--candidates: got 10, allowed: 1 to 9"):
        Critique(IdentityCritic(), candidates=10)
    with pytest.raises(StoryboardError, match="--changes: got 3, allowed: 0 to 1"):
        Critique(IdentityCritic(), candidates=8, changes=3)


class Drawer:
    """In place of a client: draws at once, and counts."""

    def __init__(self) -> None:
        self.count = 0

    def events(self, board: Storyboard, *, only: Iterable[int]) -> Iterator[Event]:
        for number in only:
            self.count += 1
            panel = board.panels[number]
            yield panel_event(board, number).model_copy(
                update={"png": png((panel.seed % 251, 1, 1))}
            )


LEVELS = st.lists(st.sampled_from([0.1, 0.3, 0.5, 0.7, math.inf]), min_size=9, max_size=9)


@settings(deadline=None)
@given(LEVELS, st.integers(1, 4), st.integers(0, 4), st.booleans())
def test_a_panel_is_never_worse_and_never_drawn_too_often(
    tmp_path_factory: pytest.TempPathFactory,
    levels: list[float],
    candidates: int,
    changes: int,
    failing: bool,
) -> None:
    out = tmp_path_factory.mktemp("law")
    board = Storyboard.model_validate({"panels": [{"prompt": "a house", "seed": 3}]})
    judge = Judge({
        ("a house", version_seed(3, place)): (
            "silent" if failing and place == 1 else Judgement(level, ("x",) if level < 0.6 else ())
        )
        for place, level in enumerate(levels)
    })  # fmt: skip
    folder = DrawingFolder(out, board)
    folder.save_panel(panel_event(board, 0))
    drawer: Any = Drawer()
    critique = Critique(judge, candidates, changes)
    course = Critiquing(
        drawer, board, folder, critique, CritiqueLog(out), Console(file=io.StringIO())
    )
    course.run([0])
    assert drawer.count <= candidates - 1 + changes
    found = json.loads((out / "critique.json").read_text(encoding="utf-8"))["panels"]["0"]
    scores = [math.inf if each["score"] is None else each["score"] for each in found["versions"]]
    # The best of those that were judged, the first of equally good ones.
    assert found["kept"] == scores.index(max(scores))
    assert scores[found["kept"]] >= levels[0]
    shown = found["versions"][found["kept"]]
    assert course.board.panels[0].seed == shown["seed"]
    assert (out / "panel_00.png").read_bytes() == (out / shown["file"]).read_bytes()
    assert course.folder.current(0)
