"""What a family of an outside package says, or does not say, of its TensorRT plans."""

from dataclasses import replace
from pathlib import Path

import pytest

import lafi_export.tensorrt_command
from lafi.model.families.registry import family_of
from lafi.model.family import plan_precision_of
from lafi.model.info import ModelInfo, ModelInfoError
from lafi_export.tensorrt_command import check_family
from lafi_export.tensorrt_plan import BuildError, BuildOptions


def test_a_family_that_says_no_precision_of_plans_gets_float16(
    info: ModelInfo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    family = family_of(info)
    assert plan_precision_of(family) == "bf16"
    monkeypatch.setattr(
        lafi_export.tensorrt_command, "check_checkpoint", lambda folder: (family, {})
    )
    everywhere = BuildOptions.for_rtx(("SM75", "SM89"))
    with pytest.raises(BuildError, match=r"got SM75, allowed SM80, .* toy, whose plans are in bf"):
        check_family(tmp_path, everywhere)
    # Whoever asks for another precision gets plans that such GPUs can run.
    check_family(tmp_path, replace(everywhere, precision="f16"))
    monkeypatch.setattr(type(family), "plan_precision", "f8")
    with pytest.raises(ModelInfoError, match="toy: plan_precision: got 'f8', allowed f16, bf16"):
        plan_precision_of(family)
    monkeypatch.delattr(type(family), "plan_precision")
    assert plan_precision_of(family) == "f16"
    check_family(tmp_path, everywhere)
