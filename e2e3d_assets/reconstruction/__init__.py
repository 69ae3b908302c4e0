"""The science: one small module a stage, from photos to a textured model and its report.

What belongs here: functions on paths and plain values. What does not: Dagster, buckets, HTTP, environment variables.

Every stage is a function ``stage(inputs..., out, options, monitor) -> Figures``:

* ``inputs`` are the directories that earlier stages wrote (read only), ``out`` is an empty directory that it fills;
* ``options`` is the stage's class of :mod:`~e2e3d_assets.reconstruction.options`;
* ``monitor`` takes progress and asks for cancellation (:mod:`~e2e3d_assets.reconstruction.monitor`);
* the answer is a flat dictionary of numbers and short strings, shown to people and plotted over runs;
* a picture of the result for people, at most 30 kB, lies in ``out/preview.jpg``;
* :class:`~e2e3d_assets.reconstruction.errors.BadInput` says what only the user can mend.

World frame: right-handed, z up; metres and east-north-up where the photos carry GPS, else an arbitrary scale.
Camera frame: OpenCV/COLMAP (x right, y down, z forward); pixel (0.5, 0.5) is the centre of the top-left pixel.
"""

import os

# for OpenBLAS, which reads it when numpy is first imported: our products are of 3×3 matrices, and its waiting threads
# spin, which doubled the CPU time of fusion
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
