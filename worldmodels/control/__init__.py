"""C: controllers, their evolution by CMA-ES, V+M+C as a policy, and its evaluation."""
