"""Models converted to ONNX graphs that take the raw variables and return the scores, one module per kind of model."""
