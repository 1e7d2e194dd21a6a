"""The real environment: Gymnasium environments, preprocessing, policies, rollouts and the store of episodes."""
