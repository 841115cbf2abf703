from benchmarks.evaluation.bootstrap import Interval
from benchmarks.evaluation.choice import choose
from benchmarks.evaluation.figures import Figures
from benchmarks.evaluation.methods import Method
from lafi.storyboard import Injection

METHODS = [
    Method("none", "named", Injection(layers="none")),
    Method("all", "named", Injection(layers="all")),
    Method("decoder", "named", Injection(layers="decoder")),
    Method("texture", "named", Injection(layers="texture")),
    Method("decoder, mask", masked=True),
]


def figures(gain: float, leakage: float, *, width: float = 0.01) -> Figures:
    """A method's figures where `all` gains 0.4 at a leakage of 0.2."""

    def around(x: float) -> Interval:
        return Interval(x, x - width, x + width)

    return {
        "identity_gain": around(gain),
        "pose_leakage": around(leakage),
        "share_of_gain": around(gain / 0.4),
        "share_of_leakage": around(leakage / 0.2),
    }


def test_the_preset_with_the_most_identity_of_those_that_qualify_is_taken() -> None:
    found = {
        "all": figures(0.4, 0.2),
        "decoder": figures(0.39, 0.09),
        "texture": figures(0.37, 0.01),
    }
    chosen = choose(METHODS, found)
    assert (chosen.default, chosen.best) == ("decoder", "decoder")
    assert "0.97" in chosen.reason


def test_enough_identity_at_too_much_leakage_does_not_qualify() -> None:
    found = {"all": figures(0.4, 0.2), "decoder": figures(0.4, 0.1), "texture": figures(0.37, 0.0)}
    assert choose(METHODS, found).default == "texture"


def test_if_none_qualifies_the_best_is_named_with_the_reason() -> None:
    found = {"all": figures(0.4, 0.2), "decoder": figures(0.4, 0.2), "texture": figures(0.2, 0.0)}
    chosen = choose(METHODS, found)
    assert (chosen.default, chosen.best) == (None, "texture")
    assert "no preset has 0.9 of the gain of `all` at less than 0.5" in chosen.reason


def test_half_of_nothing_cannot_be_told() -> None:
    found = {"all": figures(0.4, 0.005), "decoder": figures(0.4, 0.0)}
    chosen = choose(METHODS, found)
    assert (chosen.default, chosen.best) == (None, "decoder")
    assert "not told from 0" in chosen.reason


def test_if_all_gains_nothing_there_is_nothing_to_keep() -> None:
    chosen = choose(METHODS, {"all": figures(0.0, 0.2), "decoder": figures(0.0, 0.0)})
    assert chosen.default is None
    assert "gains 0.00 [-0.01, 0.01] identity over `none`" in chosen.reason


def test_what_needs_a_mask_is_no_candidate() -> None:
    found = {"all": figures(0.4, 0.2), "decoder, mask": figures(0.4, 0.0)}
    chosen = choose(METHODS, found)
    assert (chosen.default, chosen.reason) == (None, "no preset was drawn")
