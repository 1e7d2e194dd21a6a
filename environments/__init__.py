"""Environments of one's own. One is used by ``env.id=environments.<module>:<Id-v0>``; an edit of it is seen by DVC."""
