"""Image-to-image networks of MONAI by name, with weights that others trained."""
