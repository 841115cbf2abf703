"""The packed model is a folder that stock diffusers loads and draws with."""

from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

from lafi_tiny.architecture import Architecture
from lafi_tiny.pack import pack_model
from lafi_tiny.reader import load_reader
from lafi_tiny.text_to_latent import load_denoiser


def test_a_packed_model_is_a_pipeline_in_float16(
    finished: Path, tiny: Architecture, tmp_path: Path
) -> None:
    out = tmp_path / "weights"
    out.mkdir()
    (out / "left_over.bin").write_bytes(b"x")
    size = pack_model(finished, out, tiny)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert size == sum(path.stat().st_size for path in files)
    assert not (out / "left_over.bin").exists()
    weights = [load_file(path) for path in files if path.suffix == ".safetensors"]
    assert len(weights) == 4
    assert {v.dtype for part in weights for v in part.values() if v.is_floating_point()} == {
        torch.float16
    }
    load_reader(tmp_path / "reader.safetensors")

    pipeline = StableDiffusionPipeline.from_pretrained(out)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    pictures = pipeline(
        "a child running on the beach",
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    ).images
    assert pictures.shape == (1, 64, 64, 3)
    assert np.isfinite(pictures).all()
    averaged = load_denoiser(tiny, finished).unet.state_dict()
    packed = pipeline.unet.state_dict()
    assert all(torch.equal(v.half().float(), packed[k].float()) for k, v in averaged.items())
