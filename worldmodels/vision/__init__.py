"""V: the VAE and its training, normalisation of states, and the store of encoded episodes."""
