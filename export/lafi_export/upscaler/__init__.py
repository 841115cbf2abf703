"""Networks that enlarge pictures: from published weights to ONNX files in a model repository."""
