"""Networks that two methods need, as modules without a paper's name; a block with one user stays with its method."""
