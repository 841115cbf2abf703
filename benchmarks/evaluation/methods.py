"""The compared methods by name, and the sweeps that they form.

Knows settings, not pictures. The injection that sweeps vary is LAFI as published: preset
`decoder`, from the first step to 80% of the steps, strength 0, the reference at the panel's own
timestep, without a foreground mask.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any, Literal

from benchmarks.peers.concatenating import Concatenating
from benchmarks.peers.drawing import PathKind
from benchmarks.peers.masactrl import MasaCtrl
from benchmarks.peers.rows import Peer
from benchmarks.peers.story_diffusion import StoryDiffusion
from lafi.board.injection import Injection, LayerPreset
from lafi.model.families.unet import first_injected_layer
from lafi.model.info import ModelInfo

NAMED: tuple[LayerPreset, ...] = ("none", "all", "decoder", "balanced", "texture")
STRENGTHS = (-2.0, -1.0, 1.0, 2.0, 3.0)
STARTS = (0.1, 0.2, 0.4)
ENDS = (0.2, 0.4, 0.6, 1.0)
NOISES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
LEAD = 4

Family = Literal["named", "peer", "sweep"]


@dataclass(frozen=True, slots=True)
class Method:
    """One way to draw the panels.

    injection   our settings; for a peer, only those that it uses
    described   whether the prompt describes the identity
    masked      the reference comes with its foreground as alpha
    references  1 or 2 pictures of the character
    peer        not ours: drawn in torch
    path        where a peer's reference is
    """

    name: str
    family: Family = "sweep"
    injection: Injection = field(default_factory=Injection.as_published)
    described: bool = False
    masked: bool = False
    references: Literal[1, 2] = 1
    peer: Peer | None = None
    path: PathKind = 0

    @property
    def is_plain(self) -> bool:
        """Whether it has only injection settings."""
        return not (self.described or self.masked or self.references > 1 or self.peer)

    @property
    def is_preset(self) -> bool:
        """Whether it may become the default: plain, and in some of the layers."""
        return self.is_plain and self.injection.layers not in ("none", "all", 0)

    def settings(self) -> dict[str, Any]:
        """Everything that decides what it draws, as JSON."""
        return {
            "injection": self.injection.model_dump(mode="json"),
            "described": self.described,
            "masked": self.masked,
            "references": self.references,
            "path": self.path,
            "peer": None if self.peer is None else _peer_settings(self.peer),
        }


@dataclass(frozen=True, slots=True)
class Sweep:
    """Methods that differ in one setting, with that setting's value for the axis."""

    name: str
    points: tuple[tuple[str, str], ...]
    """(value, name of the method), in the order of the axis."""


def compared(info: ModelInfo) -> tuple[list[Method], list[Sweep]]:
    """All methods, each once, and the sweeps over them; for this model's layers."""
    layers = info.layers
    decoder = first_injected_layer(layers, "decoder")
    methods = [
        *(Method(name, "named", Injection.as_published(layers=name)) for name in NAMED),
        Method("described", "named", Injection.as_published(layers="none"), described=True),
        Method("story_diffusion", "peer", peer=StoryDiffusion(first=decoder)),
        Method("masactrl", "peer", peer=MasaCtrl(first=first_injected_layer(layers, "balanced"))),
        Method("deep_only", "peer", peer=Concatenating(first=0, stop=decoder)),
    ]
    sweeps = [_start_layers(info), *_windows(), _strengths(), _noises(), _foreground()]
    sweeps += [_paths(decoder, len(layers)), _references(), _combined()]
    for _, made in sweeps:
        methods += made
    return methods, [sweep for sweep, _ in sweeps]


def chosen(methods: Sequence[Method], names: Sequence[str]) -> list[Method]:
    """The methods with these names, plus `none` and `all`, with which the others are compared.

    Raises ValueError for an unknown name.
    """
    known = [method.name for method in methods]
    for name in names:
        if name not in known:
            raise ValueError(f"only: got {name!r}, allowed {', '.join(known)}")
    return [method for method in methods if method.name in {"none", "all", *names}]


def _peer_settings(peer: Peer) -> dict[str, Any]:
    assert is_dataclass(peer)
    assert not isinstance(peer, type)
    return {"name": type(peer).__name__, **asdict(peer)}


_Made = tuple[Sweep, list[Method]]


def _start_layers(info: ModelInfo) -> _Made:
    taken = {first_injected_layer(info.layers, name): name for name in reversed(NAMED)}
    points, made = [], []
    for start in range(len(info.layers) + 1):
        name = str(taken.get(start, f"start {start}"))
        points.append((str(start), name))
        if start not in taken:
            made.append(Method(name, injection=Injection.as_published(layers=start)))
    return Sweep("start layer", tuple(points)), made


def _windows() -> list[_Made]:
    starts = [Method(f"from {x}", injection=Injection.as_published(start=x)) for x in STARTS]
    ends = [Method(f"until {x}", injection=Injection.as_published(end=x)) for x in ENDS]
    return [
        (_sweep("start of the window", STARTS, starts, (0.0, "decoder")), starts),
        (_sweep("end of the window", ENDS, ends, (0.8, "decoder")), ends),
    ]


def _strengths() -> _Made:
    made = [
        Method(f"strength {x:g}", injection=Injection.as_published(strength=x)) for x in STRENGTHS
    ]
    return _sweep("strength", STRENGTHS, made, (0.0, "decoder")), made


def _noises() -> _Made:
    made = [
        Method(f"noise {x:g}", injection=Injection.as_published(reference_noise=x)) for x in NOISES
    ]
    points = [
        ("panel", "decoder"),
        *((f"{x:g}", m.name) for x, m in zip(NOISES, made, strict=True)),
    ]
    return Sweep("noise of the reference", tuple(points)), made


def _foreground() -> _Made:
    made = [
        Method(f"{name}, mask", injection=Injection.as_published(layers=name), masked=True)
        for name in ("decoder", "all")
    ]
    points = [("decoder", "decoder"), ("all", "all")]
    points += [(method.name, method.name) for method in made]
    return Sweep("foreground mask", tuple(sorted(points, reverse=True))), made


def _paths(decoder: int, layers: int) -> _Made:
    shallow = Concatenating(first=decoder, stop=layers)
    made = [
        Method("lead", peer=shallow, path=LEAD),
        Method("inverted", peer=shallow, path="inverted"),
    ]
    points = (("renoised", "decoder"), (f"{LEAD} steps ahead", "lead"), ("inverted", "inverted"))
    return Sweep("path of the reference", points), made


def _references() -> _Made:
    made = [Method("two references", references=2)]
    return Sweep("references", (("1", "decoder"), ("2", "two references"))), made


def _combined() -> _Made:
    """Low noise together with a stronger reference, from every preset's start layer on."""
    made = [
        Method(
            f"{name}, noise 0.1, strength 1",
            "named",
            injection=Injection.as_published(layers=name, reference_noise=0.1, strength=1.0),
        )
        for name in NAMED[1:]
    ]
    points = tuple((str(m.injection.layers), m.name) for m in made)
    return Sweep("preset at noise 0.1 and strength 1", points), made


def _sweep(
    name: str, values: Sequence[float], made: Sequence[Method], base: tuple[float, str]
) -> Sweep:
    points = [base, *((x, method.name) for x, method in zip(values, made, strict=True))]
    return Sweep(name, tuple((f"{x:g}", method) for x, method in sorted(points)))
