"""Files of other programs, read without executing them, into plain arrays."""
