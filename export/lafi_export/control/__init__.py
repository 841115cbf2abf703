"""Control networks and adapters of a checkpoint: from folders and files to ONNX files beside it."""
