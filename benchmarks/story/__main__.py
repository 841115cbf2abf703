"""`python -m benchmarks.story [FOLDER ...]`: F1 of the rules on stories, and their speed.

`seen`: the rules were made on them. `second`: only totals were looked at while the rules were made.
`held_out`: only totals were looked at, and once for each version of the rules. `published`: books.

With `--llm-replay`: only `llm_replayed`, a check of the language model's planner with answers that
a script made of what is true. It says nothing about any language model.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.story.measure import QUESTIONS, Count, Measured, measure
from benchmarks.story.scripted import SCRIPT, TruthEndpoint
from benchmarks.story.truth import Story, load_story
from lafi.board.limits import MAX_PANELS
from lafi_story.llm.asking import Asker
from lafi_story.llm.planner import LlmPlanner
from lafi_story.llm.recording import Recording
from lafi_story.planner import Planner
from lafi_story.reading import outline_of
from lafi_story.rules import RulePlanner
from lafi_story.vocabulary import load_vocabulary

HERE = Path(__file__).parent
FOLDERS = ("seen", "second", "held_out", "published")
WHAT = (
    "a check of the machinery: answers made by a script from what is true, with errors added that "
    "have to be dropped; not a measure of any language model"
)
LONG = 100_000
"""Characters of the long text whose time and memory are measured."""


def main() -> None:
    """Measure, print what went wrong, and write the figures."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.story", description=__doc__)
    options.add_argument("folders", nargs="*", type=Path, default=[HERE / name for name in FOLDERS])
    options.add_argument("--out", type=Path, default=HERE.parent / "results" / "story.json")
    options.add_argument("--wrong", action="store_true", help="print everything that is wrong")
    options.add_argument("--no-long", action="store_true", help="without the long text")
    options.add_argument("--llm-replay", action="store_true", help="check the planner by --llm")
    given = options.parse_args()
    if given.llm_replay:
        _write(given.out, _kept(given.out) | {"llm_replayed": _replayed(HERE / "seen")})
        return
    report: dict[str, Any] = {}
    planners = {language: RulePlanner(load_vocabulary()) for language in ("en", "zh")}
    for folder in given.folders:
        stories = [load_story(path) for path in sorted(folder.glob("*.txt"))]
        measured = {s.name: (s, _measured(s, planners[s.language])) for s in stories}
        report[f"rules_{folder.name}"] = _figures(measured)
        if given.wrong:
            for name, (_, result) in measured.items():
                print(name, *result.wrong, sep="\n  ")
        if not given.no_long and folder == given.folders[0]:
            report["long"] = {lg: _long(stories, lg) for lg in ("en", "zh")}
    _write(given.out, _kept(given.out) | report)


def _kept(path: Path) -> dict[str, Any]:
    """What an earlier run wrote."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def _write(path: Path, report: dict[str, Any]) -> None:
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")
    print(text)


def _replayed(folder: Path) -> dict[str, Any]:
    """Stories planned by answers that a script recorded, and replayed."""
    measured = {}
    with tempfile.TemporaryDirectory() as place:
        for path in sorted(folder.glob("*.txt")):
            story, record = load_story(path), Path(place) / f"{path.stem}.jsonl"
            with Recording(record, writes=True) as recording:
                asker = Asker(SCRIPT, TruthEndpoint(story), recording)
                first = _measured(story, LlmPlanner(asker, load_vocabulary()))
            with Recording(record, writes=False) as recording:
                planner = LlmPlanner(Asker(SCRIPT, None, recording), load_vocabulary())
                measured[story.name] = story, _measured(story, planner)
            if first != measured[story.name][1]:
                raise ValueError(f"{story.name}: replayed otherwise than it was recorded")
    return {"what": WHAT} | _figures(measured)


def _measured(story: Story, planner: Planner) -> Measured:
    outline = outline_of(story.text, story.name)
    if [p.text for p in outline.paragraphs] != list(story.paragraphs):
        raise ValueError(f"{story.name}: its paragraphs are read otherwise than they are marked")
    scenes = planner.scenes(outline)
    cast = planner.characters(outline, scenes)
    return measure(story, scenes, cast, planner.panels(outline, scenes, cast, MAX_PANELS))


def _figures(measured: dict[str, tuple[Story, Measured]]) -> dict[str, Any]:
    """F1 by language over all quotes, panels and so on of its stories, and of each story."""
    found: dict[str, Any] = {}
    for language in ("en", "zh"):
        own = {n: result for n, (story, result) in measured.items() if story.language == language}
        if own:
            found[language] = _f1s(list(own.values())) | {
                "stories": {name: _f1s([result]) for name, result in own.items()}
            }
    return found


def _f1s(results: Sequence[Measured]) -> dict[str, float]:
    scores = {}
    for question in QUESTIONS:
        whole = Count()
        for result in results:
            whole = whole.plus(result.counts[question])
        scores[f"{question}_f1"] = round(whole.f1, 3)
    return scores


def _long(stories: Sequence[Story], language: str) -> dict[str, float]:
    """Seconds and peak memory of a text of LONG characters: stories one after another."""
    own = [story.text for story in stories if story.language == language]
    text = "\n\n".join(own * (LONG // max(1, sum(map(len, own))) + 1))[:LONG]
    planner, outline = RulePlanner(load_vocabulary()), outline_of(text)
    before, start = _peak_mib(), time.perf_counter()
    scenes = planner.scenes(outline)
    cast = planner.characters(outline, scenes)
    script = planner.panels(outline, scenes, cast, MAX_PANELS)
    return {
        "characters": len(text),
        "panels": len(script.panels),
        "seconds": round(time.perf_counter() - start, 1),
        "peak_mib": round(_peak_mib()),
        "peak_mib_before": round(before),
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
