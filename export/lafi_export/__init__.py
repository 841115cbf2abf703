"""A diffusers checkpoint becomes ONNX engines, a model repository and a parity report."""
