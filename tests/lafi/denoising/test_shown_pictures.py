"""Picture prompts in the rows of a call, and in steps that may be reused."""

import pytest
import torch
from batches import PROCESS, SIZE, FakeDenoiser, panel

from lafi.conditioning.picture_prompts import PanelPicture, PicturePrompts
from lafi.denoising.batcher import Batcher
from lafi.denoising.denoiser_batch import build_batch
from lafi.denoising.panel_state import PanelState
from lafi.model.picture_prompt_info import PICTURE_TOKENS, PICTURE_WEIGHTS, picture_ports
from lafi.ports.denoiser_tensors import complete
from model_infos import attention_sites, model_info

PORTS = picture_ports(2, 3)
INFO = model_info(layers=attention_sites(5), added_inputs=PORTS)


def shown(name: str, *values: float, **settings: object) -> PanelState:
    window = {key: settings.pop(key) for key in ("start", "end") if key in settings}
    state = panel(name, **settings)  # type: ignore[arg-type]
    state.pictures = PicturePrompts(
        tuple(
            PanelPicture(
                torch.full((2, 3), value), torch.zeros(2, 3), torch.full(SIZE, value), **window
            )  # type: ignore[arg-type]
            for value in values
        )
    )
    return state


def test_rows_have_their_own_and_the_others_weight_0() -> None:
    """Rows: without prompt and with it of two panels, one row without guidance, and padding."""
    panels = [shown("a", 1.0, 2.0), shown("b"), shown("c", 3.0, guidance=1.0)]
    batch = build_batch(panels, (), PROCESS, INFO, padding=1)
    assert batch[PICTURE_TOKENS][:, :, 0, 0].tolist() == [
        [0.0, 0.0],
        [1.0, 2.0],
        [0.0, 0.0],
        [0.0, 0.0],
        [3.0, 0.0],
        [0.0, 0.0],
    ]
    assert batch[PICTURE_WEIGHTS][:, :, 0, 0].tolist() == [
        [1.0, 2.0],
        [1.0, 2.0],
        [0.0, 0.0],
        [0.0, 0.0],
        [3.0, 0.0],
        [0.0, 0.0],
    ]


def test_where_none_acts_the_batch_has_no_such_input() -> None:
    panels = [shown("a", 1.0, start=0.5), shown("b", 0.0), shown("c")]
    batch = build_batch(panels, (), PROCESS, INFO)
    assert not {port.name for port in PORTS} & {*batch.ports}
    filled = complete(batch.ports, list(PORTS))
    assert filled[PICTURE_TOKENS].shape == (len(batch["latents"]), 1, 2, 3)
    assert not filled[PICTURE_WEIGHTS].any()


@pytest.mark.parametrize("window", [(0.4, 0.8)])
def test_steps_at_which_a_picture_begins_or_ends_are_computed(window: tuple[float, float]) -> None:
    steps, denoiser = 20, FakeDenoiser()
    loop = Batcher(denoiser, PROCESS, INFO, 16)
    start, end = window
    loop.add([shown("a", 1.0, start=start, end=end, steps=steps, reuse=1.0)])
    computed = []
    for step in range(steps):
        calls = len(denoiser.batches)
        assert [taken.step for taken in loop.step()] == [step + 1]
        computed += [step] * (len(denoiser.batches) - calls)
    assert {8, 16} <= {*computed}
    assert loop.counts.reused_steps == steps - len(computed) > 0
