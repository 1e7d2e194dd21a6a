"""M: the memory that predicts what happens next."""
