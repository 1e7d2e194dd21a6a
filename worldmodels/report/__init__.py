"""Figures and videos of the results, from plain arrays.

This package imports nothing: a stage that draws a learning curve imports ``report.figures`` alone and so does not
depend on the environments that ``report.play`` needs.
"""
