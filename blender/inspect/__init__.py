"""Look at blends and at plans: samples in the terminal, reports as one HTML file, and a page over a whole blend."""
