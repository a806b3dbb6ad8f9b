"""Parts of training loops, as functions: the loop itself stays with its method."""
