"""The learned environment: batched dreams for the search.

``worldmodels.dream.env.DreamEnv`` is one dream as a Gymnasium environment; the other modules do not need Gymnasium.
"""
