"""Settings of a VAE that decide pixels without being in its tensors.

What is not drawn as diffusers' own pipelines do is refused here, by name. Knows configs alone.
"""

from math import isfinite
from typing import Final

from lafi.model.config_problems import Config

DEFAULT_SCALING_FACTOR: Final = 0.18215
"""Of diffusers' AutoencoderKL, where a config does not name it, as SD1.5's first did not."""


def vae_problems(vae: Config, *, shifted: bool) -> list[str]:
    """An error line for each setting that would be drawn otherwise than it says.

    shifted: whether the family's pipelines heed `shift_factor`.
    """
    problems = []
    factor = vae.get("scaling_factor", DEFAULT_SCALING_FACTOR)
    if not isinstance(factor, int | float) or isinstance(factor, bool) or not factor > 0:
        problems.append(f"vae.scaling_factor: got {factor!r}, allowed a number above 0")
    for field in ("latents_mean", "latents_std"):
        if vae.get(field) is not None:
            problems.append(
                f"vae.{field}: got {vae[field]!r}, allowed null (statistics by channel)"
            )
    shift = vae.get("shift_factor")
    if shifted and not (shift is None or (isinstance(shift, int | float) and isfinite(shift))):
        problems.append(f"vae.shift_factor: got {shift!r}, allowed null or a number")
    if shift and not shifted:
        problems.append(f"vae.shift_factor: got {shift!r}, allowed null or 0")
    return problems
