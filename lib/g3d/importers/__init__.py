"""Official checkpoints, read without executing them."""
