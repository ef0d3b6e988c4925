"""Networks of others as ONNX files: ``graph`` checks the files, ``network`` runs them."""
