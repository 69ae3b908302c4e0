"""Telling people and programs what became of runs.

What belongs here: what is told (``events``), in which words (``wording``), by which ways (``channels``), and how often
it is tried (``outbox``). What does not: noticing that a run has finished, see :mod:`e2e3d_assets.sensors.run_events`.
"""
