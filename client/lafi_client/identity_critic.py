"""`IdentityCritic`: judges panels by the scores of the server's recogniser."""

from __future__ import annotations

import math
from collections.abc import Mapping

from lafi.board.critique import Judgement, unlike
from lafi.board.storyboard import Storyboard


class IdentityCritic:
    """A panel's score is the lowest of its characters'; its only change is another seed."""

    name = "identity"
    needs_scores = True

    def judge(
        self, board: Storyboard, number: int, png: bytes, scores: Mapping[str, float]
    ) -> Judgement:
        """As `Critic`. A panel without scores has nobody to recognise, and stays."""
        return Judgement(min(scores.values(), default=math.inf), unlike(board, number, scores))
