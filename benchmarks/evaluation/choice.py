"""Which preset becomes the default, by the figures alone.

A preset qualifies with at least 0.9 of the identity that `all` gains over `none`, at less than half
of the pose leakage of `all`, over the same pairs. Of those that do, the one with the greatest
share of that gain is taken. Settings that inject into all layers, or that need a mask or a second
picture, are no candidates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.evaluation.bootstrap import Interval
from benchmarks.evaluation.figures import Figures
from benchmarks.evaluation.methods import Method

GAIN, LEAKAGE = 0.9, 0.5


@dataclass(frozen=True, slots=True)
class Choice:
    """The default, or None with the reason; `best` is the nearest to it there is, if any.

    The best is the preset with the most identity among those at less than half of the leakage;
    if there is none, or if leakage cannot be told, among all presets.
    """

    default: str | None
    reason: str
    best: str | None

    def as_json(self) -> dict[str, Any]:
        return {"default": self.default, "default_reason": self.reason, "best": self.best}


def choose(methods: Sequence[Method], figures: Mapping[str, Figures]) -> Choice:
    """Apply the rule to the presets among the methods that have figures."""
    presets = [m.name for m in methods if m.is_preset and m.name in figures]
    everywhere = figures["all"]
    gain, leakage = everywhere["identity_gain"], everywhere.get("pose_leakage")
    best = _most(presets, figures)
    if not presets:
        return Choice(None, "no preset was drawn", None)
    if gain is None or gain.low <= 0:
        reason = f"`all` gains {_text(gain)} identity over `none`: not told from 0"
        return Choice(None, reason, best)
    if leakage is None or leakage.low <= 0:
        reason = (
            f"`all` leaks {_text(leakage)} of the reference's pose: not told from 0, "
            "so that less than half of it cannot be told either"
        )
        return Choice(None, reason, best)
    little = [n for n in presets if _value(figures[n], "share_of_leakage", 1.0) < LEAKAGE]
    enough = [n for n in little if _value(figures[n], "share_of_gain", 0.0) >= GAIN]
    if enough:
        name = _most(enough, figures)
        assert name is not None
        return Choice(name, f"{_shares(figures[name])}", name)
    best = _most(little, figures) or best
    of_best = f"; the best is {best}: {_shares(figures[best])}" if best else ""
    reason = f"no preset has {GAIN} of the gain of `all` at less than {LEAKAGE} of its leakage"
    return Choice(None, reason + of_best, best)


def _most(names: Sequence[str], figures: Mapping[str, Figures]) -> str | None:
    def rank(name: str) -> tuple[float, float]:
        found = figures[name]
        return _value(found, "share_of_gain", -1.0), _value(found, "identity_gain", -1.0)

    return max(names, key=rank, default=None)


def _value(figures: Figures, name: str, missing: float) -> float:
    found = figures.get(name)
    return missing if found is None else found.value


def _shares(figures: Figures) -> str:
    return (
        f"{_text(figures.get('share_of_gain'))} of the identity that `all` gains, "
        f"{_text(figures.get('share_of_leakage'))} of its pose leakage"
    )


def _text(found: Interval | None) -> str:
    return "nothing" if found is None else f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
