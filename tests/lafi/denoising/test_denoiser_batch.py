"""The rows of one denoiser call."""

import pytest
import torch

from lafi.board.stages import SamplingStage
from lafi.conditioning.conditioner import LimitedWords
from lafi.conditioning.reference import Reference, Source
from lafi.denoising.denoiser_batch import build_batch, build_reference_batch
from lafi.denoising.panel_state import PanelInjection, PanelState
from lafi.model.info import ModelInfo
from lafi.ports.engines import EncodedText
from lafi.sampling.guidance import TwoRows
from lafi.sampling.noise_model import noise_model_of
from lafi.sampling.schedule import PanelSchedule
from model_infos import attention_sites, model_info

LAYERS, SIZE = 3, (4, 6)
CONFIG = {"num_train_timesteps": 1000, "beta_schedule": "scaled_linear"}
PROCESS = noise_model_of(CONFIG)


def info(pooled_width: int = 0) -> ModelInfo:
    return model_info(pooled_width=pooled_width, layers=attention_sites(LAYERS))


def text(value: float) -> EncodedText:
    return {"text": torch.full((3, 2), value), "pooled": torch.full((2,), value)}


def reference(value: float) -> Reference:
    return Reference(
        content=str(value),
        caption="a girl",
        latents=torch.full((4, *SIZE), value),
        noise=torch.randn(4, *SIZE),
        mask=torch.rand(SIZE),
        text=text(value),
    )


MIA, BO = reference(0.2), reference(-0.3)


def panel(injection: PanelInjection) -> PanelState:
    schedule = PanelSchedule(SamplingStage(steps=5), CONFIG, 0)
    return PanelState(
        name="a",
        latents=schedule.initial_noise((4, *SIZE)),
        schedule=schedule,
        text=text(1.0),
        negative=text(2.0),
        guidance=TwoRows(3.0),
        injection=injection,
    )


LEFT = torch.zeros(SIZE)
LEFT[:, :3] = 1.0
BOTH = PanelInjection(
    (MIA, BO), (LEFT, 1.0 - LEFT), layers=(1, 2), end=1.0, strength=0.5, both_branches=False
)


@pytest.mark.parametrize("padding", [0, 3])
def test_a_panel_reads_several_references_each_in_its_region(padding: int) -> None:
    state = panel(BOTH)
    sources = state.readings(PROCESS)
    batch = build_batch([state], sources, PROCESS, info(), padding=padding)
    assert len(batch["latents"]) == 4 + padding
    assert batch["routes"][0].max() == -1
    assert batch["routes"][1:, 0].max() == -1
    assert batch["routes"][2, 1].tolist() == [2, 3]
    assert batch["routes"][:, 2:].max() == -1
    assert torch.equal(batch["region"][1], torch.stack([LEFT, 1.0 - LEFT]))
    assert batch["bias"][1].tolist() == [0.5, 0.5]
    assert torch.equal(batch["mask"][2:4], torch.stack([MIA.mask, BO.mask]))


WORDS = torch.tensor([-1, 0, 1], dtype=torch.int32)


def test_words_are_limited_in_the_row_with_the_prompt_and_in_no_other() -> None:
    state = panel(BOTH)
    state.conditioners = (LimitedWords(WORDS),)
    batch = build_batch([state], state.readings(PROCESS), PROCESS, info(), padding=1)
    assert batch.ports["words"].dtype == torch.int32
    assert batch.ports["words"].tolist() == [[-1] * 3, WORDS.tolist(), *[[-1] * 3] * 3]


def test_words_have_their_regions_where_nothing_is_read() -> None:
    state = panel(PanelInjection(regions=(LEFT, 1.0 - LEFT)))
    state.conditioners = (LimitedWords(WORDS),)
    batch = build_batch([state, panel(PanelInjection())], (), PROCESS, info())
    assert batch["routes"].max() == -1
    assert batch.ports["words"][1].tolist() == WORDS.tolist()
    assert batch.ports["words"][[0, 2, 3]].max() == -1
    assert torch.equal(batch["region"][1], torch.stack([LEFT, 1.0 - LEFT]))


def text_of(tokens: int) -> dict[str, torch.Tensor]:
    return {"text": torch.full((tokens, 2), float(tokens))}


def test_texts_of_different_length_share_a_call() -> None:
    long = info().model_copy(update={"text_windows": 4})
    apart = PanelInjection(regions=(LEFT, 1.0 - LEFT))
    first, second = panel(apart), panel(PanelInjection())
    first.text, first.negative = text_of(6), text_of(3)
    second.text, second.negative = text_of(3), text_of(9)
    first.conditioners = (LimitedWords(torch.tensor([-1, 0, 1, 1, 0, 0], dtype=torch.int32)),)
    batch = build_batch([first, second], (), PROCESS, long)
    lengths = [3, 6, 9, 3]
    assert batch["text"].shape == (4, 9, 2)
    for row, tokens in enumerate(lengths):
        assert (batch["text"][row, :tokens] == tokens).all()
        assert (batch["text"][row, tokens:] == 0).all()
        assert batch["text_mask"][row].tolist() == [1.0] * tokens + [0.0] * (9 - tokens)
    assert batch["words"][1].tolist() == [-1, 0, 1, 1, 0, 0, -1, -1, -1]
    assert (batch["words"][[0, 2, 3]] == -1).all()


def test_where_all_texts_are_equally_long_nothing_is_masked() -> None:
    long = info().model_copy(update={"text_windows": 4})
    state = panel(PanelInjection())
    state.text, state.negative = text_of(6), text_of(6)
    assert "text_mask" not in build_batch([state], (), PROCESS, long).ports


def test_without_limited_words_there_are_none_and_no_slot_for_them() -> None:
    batch = build_batch([panel(PanelInjection(regions=(LEFT, LEFT)))], (), PROCESS, info())
    assert "words" not in batch.ports
    assert batch["region"].shape[1] == 1


def test_a_reference_row_is_its_picture_noised_to_its_own_timestep() -> None:
    source = Source(MIA, 100.0, True)
    batch = build_reference_batch([source, Source(BO, 500.0, True)], PROCESS, info(2))
    torch.testing.assert_close(batch["latents"][0], MIA.at(100.0, PROCESS))
    assert batch["timesteps"].tolist() == [100.0, 500.0]
    assert torch.equal(batch.mask[1], BO.mask)
    assert batch.ports["pooled"][0].tolist() == pytest.approx([0.2, 0.2])


def test_a_model_without_further_conditioning_gets_none() -> None:
    state = panel(PanelInjection())
    state.text, state.negative = ({"text": torch.zeros(3, 2)},) * 2
    batch = build_batch([state], (), PROCESS, info())
    assert not {"words", "pooled", "time_ids"} & batch.ports.keys()
    assert batch.bank is None


def test_every_row_has_its_own_pooled_text_and_the_pictures_size() -> None:
    state = panel(PanelInjection((MIA,), (torch.ones(SIZE),), end=1.0))
    batch = build_batch([state], state.readings(PROCESS), PROCESS, info(2))
    assert batch.ports["pooled"][:, 0].tolist() == pytest.approx([2.0, 1.0, 0.2])
    assert batch.ports["time_ids"].dtype == torch.float32
    assert batch.ports["time_ids"].tolist() == [[32, 48, 0, 0, 32, 48]] * 3
