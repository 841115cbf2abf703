"""Loads a checkpoint and probes it, as `lafi probe` asks for. Knows files and what is said."""

from collections.abc import Callable
from pathlib import Path

from lafi.board.limits import OWN_SIDE
from lafi.board.storyboard import Storyboard, load_storyboard
from lafi.engine.torch.engines import TorchDenoiser, load_torch_engines
from lafi.model.info import ModelInfo
from lafi.model.probe_report import PROBE_FILE, ProbeReport, SiteReport
from lafi.probe.run import probe
from lafi.probe.story import probe_story


def probe_checkpoint(
    checkpoint: Path,
    *,
    story: Path | None,
    minutes: float | None,
    device: str,
    steps: int,
    say: Callable[[str], None],
) -> ProbeReport:
    """The report, which is also in the checkpoint's folder.

    story: a storyboard's file; None draws our own with that many steps. minutes: no layer is begun
    after them. Raises CheckpointError, ProbeError, and StoryboardError for a storyboard that the
    model cannot draw.
    """
    engines = load_torch_engines(checkpoint, device=device)
    board = load_storyboard(story) if story is not None else _own(engines.info, steps)
    denoiser = engines.denoiser
    assert isinstance(denoiser, TorchDenoiser)

    def said(site: SiteReport, left: int) -> None:
        say(
            f"{site.name}: position {site.position:.1f} dB, content {site.content:.1f} dB, "
            f"layout {site.layout:+.3f}, texture {site.texture:+.3f} ({left} left)"
        )

    seconds = None if minutes is None else 60.0 * minutes
    report = probe(board, engines, denoiser.network, checkpoint, seconds=seconds, said=said)
    if report.finished:
        for name, sites in report.presets().items():
            say(f"{name}: {', '.join(map(str, sites)) or 'none'}")
    else:
        left = report.count - len(report.sites)
        say(f"{left} layers left; the same command goes on ({checkpoint / PROBE_FILE})")
    return report


def _own(info: ModelInfo, steps: int) -> Storyboard:
    side = info.own_side or OWN_SIDE
    return probe_story(side, side, steps)
