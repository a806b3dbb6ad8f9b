"""The rasteriser on the CPU: numba kernels with explicit SIMD lanes. Import it only where Gaussians are drawn on a CPU.

`function.py` joins the stages to torch: `project` (a Gaussian => an ellipse in pixels, and how many tiles it touches),
`bins` (a list of Gaussians a tile), `blend` (each tile front to back) and their gradients, `blend_backward` and
`project_backward`. Work is shared out to plain threads (`g3d.kernels.threads`); no stage has state of its own.
"""
