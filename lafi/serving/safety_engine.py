"""Answers for the served model `safety`. Knows arrays and a classifier, not Triton Server."""

from lafi.engine.onnx.classifier import OnnxClassifier
from lafi.serving.batched_engine import BatchedEngine
from lafi.wire.model_spec import safety_spec


def safety_engine(classifier: OnnxClassifier) -> BatchedEngine:
    """Judges the pictures of many requests in one call."""
    return BatchedEngine(safety_spec(), lambda rows: (classifier.scores(rows)[:, None],))
