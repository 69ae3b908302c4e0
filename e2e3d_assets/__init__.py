"""E2E3D: photos in, a textured and measurable 3D model out, every stage a Dagster asset.

Importing this package does nothing: no environment is read and no heavy library is loaded.
"""
