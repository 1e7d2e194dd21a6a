"""Pictures and videos of what was learned, from plain arrays.

Nothing is imported here: a stage that draws a learning curve takes ``report.figures`` alone and does not come to
depend on the environments that ``report.play`` plays in.
"""
