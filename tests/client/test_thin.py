"""The client is thin: importing it loads neither a model's libraries nor a server."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = {"torch", "onnxruntime", "transformers", "diffusers", "openvino", "onnx", "pytriton"}
OURS = {"lafi_kernels", "lafi_export", "lafi_tiny", "lafi_repository"}


def test_importing_the_client_loads_nothing_heavy() -> None:
    code = (
        "import json, sys, lafi_client, lafi_client.commands;"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert {"lafi_client", "grpc", "numpy"} <= loaded
    assert not loaded & (HEAVY | OURS)
