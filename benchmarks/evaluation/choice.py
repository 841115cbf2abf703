"""Chooses the default preset from the figures alone.

A preset qualifies if, over the same pairs, it has at least 0.9 of the identity that `all` gains
over `none`, and less than half of the pose leakage of `all`. The qualified preset with the largest
share of that gain is chosen. If pose leakage is unknown, lost scenes are used instead, and a preset
is compared with all layers under its own other settings. Settings that inject into all layers, or
need a mask or a second picture, are not candidates.
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
    """The default, or None with the reason; `best` is the best preset, if any.

    `best` is the default if there is one; else the preset with the most identity, if possible
    among those with less than half of the pose leakage.
    """

    default: str | None
    reason: str
    best: str | None

    def as_json(self) -> dict[str, Any]:
        return {"default": self.default, "default_reason": self.reason, "best": self.best}


def choose(methods: Sequence[Method], figures: Mapping[str, Figures]) -> Choice:
    """Apply the rule to the presets among the methods that have figures."""
    presets = [m for m in methods if m.is_preset and m.name in figures]
    names = [m.name for m in presets]
    gain, leakage = (figures["all"].get(name) for name in ("identity_gain", "pose_leakage"))
    if not presets:
        return Choice(None, "no preset was drawn", None)
    if gain is None or gain.low <= 0:
        reason = f"`all` gains {_text(gain)} identity over `none`: not told from 0"
        return Choice(None, reason, _most(names, figures))
    if leakage is None or leakage.low <= 0:
        leakage_unknown = f"`all` leaks {_text(leakage)} of the reference's pose: not told from 0"
        return _by_scenes(presets, methods, figures, leakage_unknown)
    return _by_pose(names, figures)


def _by_pose(presets: Sequence[str], figures: Mapping[str, Figures]) -> Choice:
    little = [n for n in presets if _value(figures[n], "share_of_leakage", 1.0) < LEAKAGE]
    enough = [n for n in little if _value(figures[n], "share_of_gain", 0.0) >= GAIN]
    name = _most(enough, figures)
    if name is not None:
        return Choice(name, f"{_shares(figures[name])}", name)
    best = _most(little, figures) or _most(presets, figures)
    of_best = f"; the best is {best}: {_shares(figures[best])}" if best else ""
    reason = f"no preset has {GAIN} of the gain of `all` at less than {LEAKAGE} of its leakage"
    return Choice(None, reason + of_best, best)


def _by_scenes(
    presets: Sequence[Method],
    methods: Sequence[Method],
    figures: Mapping[str, Figures],
    leakage_unknown: str,
) -> Choice:
    """The same rule with lost scenes instead of pose leakage."""
    enough: dict[str, str] = {}
    for preset in presets:
        everywhere = preset.injection.model_copy(update={"layers": "all"})
        for beside in methods:
            if beside.is_plain and beside.injection == everywhere and beside.name in figures:
                found = _keeps_scenes(preset.name, beside.name, figures)
                enough |= {preset.name: found} if found else {}
    name = _most([*enough], figures)
    if name is None:
        reason = f"{leakage_unknown}, and no preset is told from all layers by the scenes it keeps"
        return Choice(None, reason, _most([preset.name for preset in presets], figures))
    return Choice(name, f"{leakage_unknown}. By the scenes instead: {enough[name]}", name)


def _keeps_scenes(preset: str, beside: str, figures: Mapping[str, Figures]) -> str | None:
    """What a preset gains and loses beside all layers with its other settings, if it qualifies."""
    gained, gain = (figures[name].get("identity_gain") for name in (preset, beside))
    kept, lossy, plain = (figures[name].get("scene_accuracy") for name in (preset, beside, "none"))
    if not (gained and gain and kept and lossy and plain):
        return None
    if gain.low <= 0 or lossy.high >= plain.low:
        return None
    share = gained.value / gain.value
    lost, loss = plain.value - kept.value, plain.value - lossy.value
    if share < GAIN or lost >= LEAKAGE * loss:
        return None
    return (
        f"{share:.2f} of the identity that `{beside}` gains, "
        f"{lost:.3f} of the requested scenes lost where that loses {loss:.3f}"
    )


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
