"""LAFI's own drawing without its server: the same engines and loop in this process."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

from lafi.board.storyboard import Storyboard
from lafi.drawing.pipeline import MAX_ROWS
from lafi.drawing.studio import Studio
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.engine.onnx.graph import Precision, RuntimeName
from lafi.model.info import load_model_info
from lafi.wire.events import PanelImage


class InProcess:
    """Draws with a `Studio` on a repository's engines; threads and rows as in the server."""

    def __init__(self, repository: Path, threads: int, max_rows: int | None = None) -> None:
        artifacts = repository / "artifacts"
        info = load_model_info(artifacts)
        runtime, precision = cast(RuntimeName, info.engine), cast(Precision, info.precision)
        engines = load_onnx_engines(artifacts, runtime, precision, threads)
        self._studio = Studio({"": engines}, max_rows=max_rows or MAX_ROWS)

    def draw(self, boards: Sequence[Storyboard], in_flight: int) -> list[bytes]:
        """A PNG file of every panel, `in_flight` storyboards at a time."""
        with ThreadPoolExecutor(in_flight) as threads:
            return [png for drawn in threads.map(self._panels, boards) for png in drawn]

    def _panels(self, board: Storyboard) -> list[bytes]:
        events = self._studio.draw(board, cancelled=lambda: False)
        panels = sorted((e for e in events if isinstance(e, PanelImage)), key=lambda e: e.panel)
        if len(panels) != len(board.panels):
            raise RuntimeError(f"panels: got {len(panels)} drawn, wanted {len(board.panels)}")
        return [panel.png for panel in panels]

    def close(self) -> None:
        """End its loop."""
        self._studio.close()
