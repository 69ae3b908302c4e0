"""Helpers of the stage photos: files to upright pictures, and what can be known of each.

The stage itself is :mod:`..photos`.
"""
