"""Training of the parcellation network by domain randomisation of label maps."""
