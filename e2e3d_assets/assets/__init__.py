"""The pipeline, read top to bottom: photos, sparse, dense, surface, delivery.

What belongs here: which asset is made from which, by which stage, in words for the operator. How stages run is in
:mod:`e2e3d_assets.stages`; what they compute in :mod:`e2e3d_assets.reconstruction`, imported only when a stage works.
"""
