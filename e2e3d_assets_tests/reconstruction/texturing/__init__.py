"""Tests of the texture's steps."""
