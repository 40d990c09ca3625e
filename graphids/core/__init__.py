"""Mathematics: batches, budgets, losses, metrics, thresholds and the models."""
