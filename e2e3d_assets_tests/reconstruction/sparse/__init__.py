"""Tests of e2e3d_assets.reconstruction.sparse."""
