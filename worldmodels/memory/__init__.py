"""M: the memory that predicts the next step."""
