"""Tests of places and sizes that people measured."""
