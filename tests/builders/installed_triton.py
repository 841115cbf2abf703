"""A folder like that of NVIDIA's images, whose parts are links to the wheel's."""

from pathlib import Path

from lafi.server.triton_install import STUB
from lafi.server.wheel import find_embedded_server


def install_triton(root: Path, version: str = "2.51.0", others: tuple[str, ...] = ()) -> Path:
    """Writes it. others: backends that are there by name, but cannot be loaded."""
    wheel = find_embedded_server()
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "tritonserver").symlink_to(wheel.binary)
    backend = root / "backends" / "python"
    backend.mkdir(parents=True)
    for file in wheel.backend.iterdir():
        if file.is_file():
            (backend / file.name).symlink_to(file)
    (backend / STUB).symlink_to(wheel.stub)
    (root / "lib").symlink_to(wheel.libraries[0], target_is_directory=True)
    (root / "TRITON_VERSION").write_text(f"{version}\n")
    for name in others:
        (root / "backends" / name).mkdir()
        (root / "backends" / name / f"libtriton_{name}.so").touch()
    return root
