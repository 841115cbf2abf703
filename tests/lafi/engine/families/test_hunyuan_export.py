"""The exported graphs of Hunyuan-DiT in ONNX Runtime."""

from collections.abc import Callable
from pathlib import Path

from exported_family import check_exported


def test_exported_graphs_give_what_torch_gives(
    small_checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    check_exported(small_checkpoints("hunyuan"), tmp_path)
