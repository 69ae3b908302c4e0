"""Formats that the stage model_files writes. The stage is :mod:`..exporting`."""
