"""Which inputs a row has for its picture prompts, step by step."""

import pytest
import torch

from lafi.conditioning.picture_prompts import NO_PICTURES, PanelPicture, PicturePrompts
from lafi.model.picture_prompt_info import PICTURE_TOKENS, PICTURE_WEIGHTS, picture_ports
from model_infos import attention_sites, model_info

SIZE = (4, 6)


def shown(
    value: float, strength: float = 1.0, start: float = 0.0, end: float = 1.0
) -> PanelPicture:
    tokens, nothing = torch.full((2, 3), value), torch.full((2, 3), -value)
    return PanelPicture(tokens, nothing, torch.full(SIZE, strength), start, end)


@pytest.mark.parametrize(
    ("window", "acting"),
    [((0.0, 1.0), [0, 1, 2, 3, 4]), ((0.2, 0.75), [1, 2]), ((0.3, 0.8), [2, 3]), ((0.5, 0.6), [])],
)
def test_a_window_holds_whole_steps(window: tuple[float, float], acting: list[int]) -> None:
    one = shown(1.0, 1.0, *window)
    assert [step for step in range(5) if one.acts(step, 5)] == acting
    assert not any(shown(1.0, 0.0, *window).acts(step, 5) for step in range(5))


def test_a_row_has_the_pictures_that_act_and_nothing_else() -> None:
    prompts = PicturePrompts((shown(1.0, end=0.4), shown(2.0), shown(3.0, strength=0.0)))
    both = prompts.ports(0, 5, conditional=True)
    assert both[PICTURE_TOKENS][:, 0, 0].tolist() == [1.0, 2.0]
    assert both[PICTURE_WEIGHTS].shape == (2, *SIZE)
    without = prompts.ports(0, 5, conditional=False)
    assert without[PICTURE_TOKENS][:, 0, 0].tolist() == [-1.0, -2.0]
    assert prompts.ports(3, 5, conditional=True)[PICTURE_TOKENS][:, 0, 0].tolist() == [2.0]
    assert NO_PICTURES.ports(0, 5, conditional=True) == {}
    assert PicturePrompts((shown(1.0, 0.0),)).ports(0, 5, conditional=True) == {}


def test_its_inputs_are_those_of_a_model_with_an_adapter() -> None:
    names = {port.name for port in picture_ports(2, 3)}
    assert names == {*PicturePrompts((shown(1.0),)).ports(0, 5, conditional=True)}
    assert model_info(layers=attention_sites(5)).picture_prompts is None
