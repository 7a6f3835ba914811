"""Exact top-k and softmax over factors. Knows arrays and nothing else."""
