from pathlib import Path

import pytest

from lafi.server import triton_install
from lafi.server.triton_install import (
    STUB,
    ServerUnavailableError,
    TritonInstall,
    libpython_folder,
)


def test_what_may_not_be_executed_is_copied(tmp_path: Path) -> None:
    parts = tmp_path / "installed"
    parts.mkdir()
    for name in ("tritonserver", STUB):
        (parts / name).write_text("#!/bin/sh\n")
        (parts / name).chmod(0o644)
    backend = parts / "backend"
    backend.mkdir()
    server = TritonInstall("x", "", parts / "tritonserver", backend, parts / STUB, ())
    binary, backends = server.lay_out(tmp_path / "run")
    for placed in (binary, backends / "python" / STUB):
        assert not placed.is_symlink()
        assert placed.stat().st_mode & 0o100


def test_a_python_without_its_shared_library_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(triton_install.sysconfig, "get_config_var", lambda name: None)
    with pytest.raises(ServerUnavailableError, match=r"libpython3\.99\.so\.1\.0.*libpython3\.99"):
        libpython_folder("3.99")
