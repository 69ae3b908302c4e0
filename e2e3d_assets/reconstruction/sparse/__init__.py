"""Helpers of the stages features, matches and sparse_model.

The stages themselves are :mod:`..features`, :mod:`..matching` and :mod:`..mapping`.
"""
