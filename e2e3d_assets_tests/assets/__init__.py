"""Tests of the assets that do more than call their stage."""
