"""The steps of the training pipeline, one file each."""
