"""Tests of the files in deployment/."""
