"""Others' pipelines run in processes of their own, and their figures go where they belong."""

import json
import sys
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor

from benchmarks import openvino_peers
from benchmarks.denoiser_limit import counted_operations
from benchmarks.openvino_peers import gflop_of_a_row, merged, ratios
from benchmarks.peers.worker_process import WorkerProcess


def test_a_pipeline_draws_in_a_process_of_its_own(checkpoint: Path, tmp_path: Path) -> None:
    with (
        (tmp_path / "log").open("w") as log,
        WorkerProcess(Path(sys.executable), "diffusers", checkpoint, "f32", 1, log) as worker,
    ):
        first = worker.draw(["a child runs", "a child sits"], [0, 1], 32, 2, 5.0)
        again = worker.draw(["a child runs"], [0], 32, 1, 1.0)
    assert first.seconds > 0 < again.seconds
    assert 2**20 < first.peak_bytes <= again.peak_bytes


def test_one_that_cannot_draw_says_where_to_look(tmp_path: Path) -> None:
    with (
        (tmp_path / "log").open("w") as log,
        WorkerProcess(Path(sys.executable), "diffusers", tmp_path, "f32", 1, log) as worker,
        pytest.raises(RuntimeError, match=r"diffusers: got exit code 1, see .*log"),
    ):
        worker.draw(["a child runs"], [0], 32, 1, 1.0)
    assert "Traceback" in (tmp_path / "log").read_text()


def test_operations_are_counted_without_computing_them(checkpoint: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(checkpoint / "unet")
    unet.set_attn_processor(AttnProcessor())  # torch counts no fused attention on a CPU
    vae = json.loads((checkpoint / "vae/config.json").read_text())
    side = 64 // 2 ** (len(vae["block_out_channels"]) - 1)
    text = torch.zeros(1, 77, unet.config.cross_attention_dim)
    given = torch.zeros(1, unet.config.in_channels, side, side), torch.zeros(1), text
    with torch.no_grad():
        wanted = counted_operations(lambda: unet(*given))
    assert gflop_of_a_row(checkpoint, 64) == pytest.approx(wanted)


def test_ratios_are_medians_over_the_rounds() -> None:
    others = [f"{kind} {p}" for kind in ("optimum", "genai", "diffusers") for p in ("f32", "bf16")]
    speeds = {name: [1.0, 2.0, 4.0] for name in others}
    for precision in ("f32", "bf16"):
        for way in ("none", "published", "known"):
            speeds[f"lafi {precision}, {way}"] = [2.0, 6.0, 4.0]
    assert set(ratios(speeds).values()) == {2.0}


def test_what_is_found_joins_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_peers, "RESULTS", tmp_path / "peers.json")
    (tmp_path / "peers.json").write_text('{"ratio_vs_concat_fp32": 1.5}')
    merged({"ratio_vs_optimum_f32": 1.1, "rounds": 4}, sd15=False)
    merged({"ratio_vs_optimum_f32": 1.2}, sd15=True)
    found = json.loads((tmp_path / "peers.json").read_text())
    assert found["ratio_vs_concat_fp32"] == 1.5
    assert found["ratio_vs_optimum_f32"] == 1.1
    assert found["openvino_peers"]["rounds"] == 4
    assert found["sd15"] == {"ratio_vs_optimum_f32": 1.2}
