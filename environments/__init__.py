"""User-defined environments, used with ``env.id=environments.<module>:<Id-v0>``; DVC tracks changes to their code."""
