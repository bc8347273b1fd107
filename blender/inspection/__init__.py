"""Look at blends: one sample in the terminal."""
