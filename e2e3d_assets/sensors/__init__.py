"""When things run by themselves: sensors on uploads and on runs.

What belongs here: thin sensors, each beside the pure decisions that it carries out.
"""
