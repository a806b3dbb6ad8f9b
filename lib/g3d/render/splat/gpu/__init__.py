"""The rasteriser on a GPU: Triton kernels, compiled at their first use; nothing to build. Import it only where it is used.

The stages are those of the CPU. Lists are made by one sort over all pictures, so many small scenes cost no more than one
large one; gradients are summed by Gaussian in the order of its tiles, without atomics: the same bits every time.
"""
