"""Control networks of a checkpoint: from folders and files to ONNX files beside the model."""
