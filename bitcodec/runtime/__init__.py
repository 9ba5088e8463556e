"""How networks run: as int8 graphs in ONNX Runtime on a CPU, in torch on a GPU."""
