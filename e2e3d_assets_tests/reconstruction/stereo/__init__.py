"""Tests of the stereo engine."""
