"""Code that all stages share: their job, their reports and the models of a round."""
