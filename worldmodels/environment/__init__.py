"""The real world: Gymnasium environments, preprocessing, policies, rollouts and the store of episodes."""
