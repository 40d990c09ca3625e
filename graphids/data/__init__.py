"""CAN logs in, packed window graphs and budgeted batches out."""
