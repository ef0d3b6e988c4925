"""Translators that others made, as ONNX files: ``graph`` says which files are taken, ``network`` runs them."""
