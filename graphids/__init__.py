"""Ablation grids of graph-neural-network intrusion detectors on the CAN bus."""
