"""Features made from four-vectors: each formula stands once, for NumPy, for the networks, and for ONNX graphs."""
