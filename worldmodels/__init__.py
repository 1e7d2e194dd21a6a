"""World Models (Ha & Schmidhuber, 2018): see, remember, dream, and act. Usable without DVC."""
