"""Benchmarks of every hot path against a naive version and its physical limit: ``python -m benchmarks``.

These are measurements, not tests: they assert nothing, and their accuracy depends on how quiet the machine was.
"""
