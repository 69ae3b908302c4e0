"""Benchmarks: they measure and print; they assert nothing and are not collected as tests."""
