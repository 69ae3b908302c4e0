"""The artifact store: directories kept as immutable, checked revisions on a disk or in a bucket.

What belongs here: how bytes are named, moved, verified and removed. What does not: photos, reconstruction, assets;
and Dagster, but for :mod:`~e2e3d_assets.storage.io_manager`.

* :mod:`~e2e3d_assets.storage.artifacts`: what asset functions give and get;
* :mod:`~e2e3d_assets.storage.store`: revisions and pointers; ``retention`` removes what nobody needs;
* :mod:`~e2e3d_assets.storage.uploads`: how work comes in;
* :mod:`~e2e3d_assets.storage.scratch`: private working directories and their janitor;
* :mod:`~e2e3d_assets.storage.objects`: the few operations that a disk (``disk``) and a bucket (``bucket``) offer alike.
"""
