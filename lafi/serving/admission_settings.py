"""What a server takes on, from its settings and from what its model costs."""

import time
from collections.abc import Callable

from lafi.drawing.studio import Studio
from lafi.model.info import ModelInfo
from lafi.serving.admission import Admission, Budget, budget_of
from lafi.serving.forecast import Forecast


def studio_admission(
    studio: Studio, info: ModelInfo, number: Callable[[str, int], int]
) -> Admission:
    """The admission of a studio's server. number: a setting by its name, with its default.

    Settings: max_storyboards, in flight; max_megapixel_steps, of one storyboard;
    max_megapixel_steps_in_flight. Raises ValueError for a setting that makes no sense.
    """
    usual = budget_of(info.own_side)
    budget = Budget(
        number("max_megapixel_steps", round(usual.storyboard)),
        number("max_megapixel_steps_in_flight", round(usual.total)),
    )
    own = studio.batchers[""]
    forecast = Forecast(own.times.seconds, own.full_call, time.monotonic)
    return Admission(number("max_storyboards", 16), budget, forecast)
