"""Every hot path against the naive way and its physical limit, in one run: ``python -m benchmarks``.

These are measurements, not tests: they assert nothing, and a figure is worth as much as the machine was quiet.
"""
