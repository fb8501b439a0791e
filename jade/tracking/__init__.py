"""Where a run is logged: its own folder always, Weights & Biases if wanted."""
