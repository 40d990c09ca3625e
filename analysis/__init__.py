"""Tables from committed results. Polars only: no torch, no Ray."""
