"""How numba kernels are compiled, kept and shared out to threads. Import it only where kernels are used."""
