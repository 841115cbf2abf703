"""Profiles follow the served models' tensors, and limits that cannot be are refused."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from lafi.model.bank_groups import bank_groups, placeholder_shapes
from lafi.model.input_port import InputPort
from lafi.wire.model_spec import (
    ModelSpec,
    TensorSpec,
    text_encoder_spec,
    vae_decoder_spec,
    vae_encoder_spec,
)
from lafi_export.tensorrt_profiles import (
    Limits,
    ProfileError,
    Range,
    batched_profile,
    denoiser_profile,
    reference_profile,
)
from model_infos import attention_sites, model_info

INFO = model_info(
    side_multiple=64, text_length=77, text_width=768, layers=attention_sites(3, heads=2, width=16)
)
LIMITS = Limits(
    rows=Range(1, 4, 16),
    batch=Range(1, 2, 8),
    references=Range(1, 2, 4),
    side=Range(256, 512, 1024),
)


def test_the_denoiser() -> None:
    profile = denoiser_profile(INFO, LIMITS)
    tuned = {name: sizes.tuned for name, sizes in profile.items()}
    assert tuned == {
        "latents": (4, 4, 64, 64),
        "timesteps": (4,),
        "text": (4, 77, 768),
        "routes": (3, 4, 2),
        "bias": (4, 2),
        "mask": (4, 64, 64),
        "region": (4, 2, 64, 64),
        "words": (4, 77),
        "bank_mask": (1, 64, 64),
        "bank_k_1_16": (3, 1, 4096, 16),
        "bank_v_1_16": (3, 1, 4096, 16),
    }
    assert profile["region"].smallest == (1, 1, 32, 32)
    assert profile["region"].largest == (16, 4, 128, 128)


def test_the_bank_goes_from_a_placeholder_to_the_most_entries() -> None:
    layers = (*INFO.layers, INFO.layers[0].model_copy(update={"downscale": 4}))
    info = INFO.model_copy(update={"layers": layers})
    limits = replace(LIMITS, entries=Range(1, 2, 8))
    profile = denoiser_profile(info, limits)
    placeholder = placeholder_shapes(bank_groups(layers))
    assert {name: profile[name].smallest for name in placeholder} == placeholder
    assert profile["bank_mask"].smallest == (1, 4, 4)
    assert profile["bank_k_4_16"].smallest == (1, 1, 1, 16)
    assert profile["bank_k_4_16"].tuned == (1, 2, 256, 16)
    assert profile["bank_v_1_16"].largest == (3, 8, 16384, 16)


def test_what_reads_references_has_a_row_for_each_entry_and_nothing_to_read() -> None:
    limits = replace(LIMITS, entries=Range(1, 2, 8))
    info = INFO.model_copy(update={"pooled_width": 1280})
    profile = reference_profile(info, limits)
    assert {name: sizes.tuned for name, sizes in profile.items()} == {
        "latents": (2, 4, 64, 64),
        "timesteps": (2,),
        "text": (2, 77, 768),
        "pooled": (2, 1280),
        "time_ids": (2, 6),
    }
    assert profile["latents"].smallest == (1, 4, 32, 32)
    assert profile["latents"].largest == (8, 4, 128, 128)
    assert profile["latents"].largest[0] == denoiser_profile(info, limits)["bank_mask"].largest[0]
    with pytest.raises(ProfileError, match="entries: got 0, 1, 8"):
        reference_profile(info, replace(LIMITS, entries=Range(0, 1, 8)))


def test_text_and_vae() -> None:
    text = batched_profile(text_encoder_spec(INFO), INFO, LIMITS)
    assert text["TOKEN_IDS"].largest == (8, 77)
    skipping = INFO.model_copy(update={"most_clip_skip": 12})
    skips = batched_profile(text_encoder_spec(skipping), skipping, LIMITS)["CLIP_SKIP"]
    assert (skips.smallest, skips.largest) == ((1, 1), (8, 1))
    image = batched_profile(vae_encoder_spec(INFO), INFO, LIMITS)
    assert image["IMAGE"].tuned == (2, 3, 512, 512)
    latent = batched_profile(vae_decoder_spec(INFO), INFO, LIMITS)
    assert latent["LATENT"].smallest == (1, 4, 32, 32)


def test_an_input_that_only_some_models_have_is_one_row_each() -> None:
    assert "pooled" not in denoiser_profile(INFO, LIMITS)
    info = INFO.model_copy(update={"pooled_width": 1280})
    assert denoiser_profile(info, LIMITS)["pooled"].tuned == (4, 1280)


def test_an_input_that_the_model_adds_has_the_sizes_of_its_axes() -> None:
    depth = InputPort(name="depth", axes=("rows", 1, "height", "width"))
    profile = denoiser_profile(INFO.model_copy(update={"added_inputs": (depth,)}), LIMITS)
    assert profile["depth"].tuned == (4, 1, 64, 64)
    assert profile["depth"].largest == (16, 1, 128, 128)


def test_an_input_of_unknown_axes_is_refused() -> None:
    with pytest.raises(ValidationError, match="Input should be 'rows', 'references', 'height', "):
        InputPort(name="depth", axes=("rows", "frames"))  # type: ignore[arg-type]
    spec = ModelSpec("frames", (TensorSpec("depth", "FP32", (1, -1, -1, -1)),), ())
    with pytest.raises(
        ProfileError, match=r"depth: got shape .* with 4 free axes, allowed 3: rows, height, width"
    ):
        batched_profile(spec, INFO, LIMITS)


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        (replace(LIMITS, rows=Range(2, 1, 4)), "rows: got 2, 1, 4, allowed 1 <= smallest"),
        (replace(LIMITS, references=Range(0, 1, 4)), "references: got 0, 1, 4"),
        (replace(LIMITS, batch=Range(1, 9, 8)), "batch: got 1, 9, 8"),
        (replace(LIMITS, entries=Range(0, 1, 8)), "entries: got 0, 1, 8"),
        (replace(LIMITS, side=Range(256, 500, 1024)), "side: got 500, allowed multiples of 64"),
    ],
)
def test_limits_that_cannot_be(limits: Limits, error: str) -> None:
    with pytest.raises(ProfileError, match=error):
        denoiser_profile(INFO, limits)
