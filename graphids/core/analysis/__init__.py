"""What detectors have learned, in numbers: similar layers, flat minima, classes apart."""
