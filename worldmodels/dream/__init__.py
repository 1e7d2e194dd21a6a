"""The learned world: many dreams at once for the search.

One dream as a Gymnasium environment is ``worldmodels.dream.env.DreamEnv``; the rest does without Gymnasium.
"""
