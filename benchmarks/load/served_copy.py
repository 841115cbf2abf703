"""A repository with other parameters of its model `storyboard`, beside the exported one."""

import shutil
from pathlib import Path


def served_copy(repository: Path, folder: Path, **parameters: int) -> Path:
    """Writes `folder`: models copied, artifacts linked, the parameters added; returns it.

    parameters: as `model_repository/storyboard` reads them, such as max_storyboards. Raises
    ValueError for one that the exported config.pbtxt sets already.
    """
    shutil.copytree(repository / "models", folder / "models")
    (folder / "artifacts").symlink_to((repository / "artifacts").resolve())
    config = folder / "models" / "storyboard" / "config.pbtxt"
    text = config.read_text(encoding="utf-8")
    for name, value in parameters.items():
        if f'"{name}"' in text:
            raise ValueError(f"{name}: got one in {config}, allowed none yet")
        text += f'parameters {{ key: "{name}", value: {{ string_value: "{value}" }} }}\n'
    config.write_text(text, encoding="utf-8")
    return folder
