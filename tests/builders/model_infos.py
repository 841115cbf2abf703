"""`ModelInfo`s of models that are not there, for tests that need only what they say."""

from pathlib import Path
from typing import Any

from lafi.model.info import AttentionSite, ModelInfo


def attention_sites(
    count: int = 1, *, block: str = "up.0", heads: int = 1, width: int = 8, downscale: int = 1
) -> tuple[AttentionSite, ...]:
    """Self-attention layers that differ in name alone."""
    sizes = {"heads": heads, "width": width, "downscale": downscale}
    return tuple(
        AttentionSite(name=f"{block}.{index}.attn1", block=block, **sizes) for index in range(count)
    )


def model_info(**fields: Any) -> ModelInfo:
    """A small UNet of one layer, 4 latent channels, 8 pixels a cell and texts (3, 2).

    fields: those that matter to the test, in place of these.
    """
    small: dict[str, Any] = {
        "name": "small",
        "architecture": "unet",
        "latent_channels": 4,
        "vae_scale": 8,
        "side_multiple": 16,
        "text_length": 3,
        "text_width": 2,
        "layers": attention_sites(),
    }
    return ModelInfo(**(small | fields))


def bare_repository(folder: Path) -> Path:
    """A repository in a new folder with no more than the facts of a model for ONNX Runtime."""
    (folder / "models").mkdir(parents=True)
    return save_facts(folder, engine="onnxruntime")


def save_facts(repository: Path, **fields: Any) -> Path:
    """Writes `artifacts/lafi.json` of a repository, which may be there; returns the repository."""
    artifacts = Path(repository) / "artifacts"
    artifacts.mkdir(parents=True, exist_ok=True)
    model_info(**fields).save(artifacts)
    return Path(repository)
