"""The one rule by which 3D Gaussians become a picture; every back end follows it, and tests hold them to it.

1. **Scale and turn.** A log-scale counts up to MAX_LOG_SCALE, beyond it has no gradient; minus infinity is a point. A
   quaternion is normalised; one shorter than MIN_QUAT is the identity, without gradient.
2. **Near.** A Gaussian is drawn when the camera z of its centre is above NEAR_WORLD. The others get no gradient.
3. **Projection.** The local affine approximation (EWA, Zwicker et al. 2001) at the centre; for the approximation alone
   x/z and y/z are clamped to the picture widened by MARGIN half-widths on each side, wherever the principal point is.
4. **Low-pass.** LOW_PASS_PX2 is added to both variances in the picture. With `antialiased` the opacity is multiplied by
   sqrt(det(covariance before) / det(after)), so that a Gaussian smaller than a pixel keeps its weight (Yu et al. 2024).
5. **Alpha** at a pixel centre is the opacity times exp(-d^T covariance^-1 d / 2), at most MAX_ALPHA (the clamped have no
   gradient but through colour). An alpha below MIN_ALPHA is zero.
6. **Order.** Front to back by the camera z of the centres, equal ones by their index.
7. **Early stop.** A pixel takes Gaussians while its transmittance is above MIN_THROUGH: the one that brings it there is
   still taken whole. The rule is one of pixels: tiles are no part of it.
8. **Tile bounds.** A back end may leave out only what 5 makes zero: a box or tile must hold every pixel whose alpha
   reaches MIN_ALPHA. The ellipse of these pixels has the half-widths sqrt(2 ln(opacity / MIN_ALPHA) variance).

The picture is the sum of alpha times transmittance times colour, plus the remaining transmittance times the background;
coverage is one minus that transmittance, depth the mean camera z of the centres with the same weights.

For precision in single: det(covariance) is computed as |m x n|^2 + e (|m|^2 + |n|^2) + e^2 (m, n: the projected axes, e: the
low-pass), and the exponent as a sum of two squares (a Cholesky factor of the inverse): no term cancels another, so long
thin Gaussians stay exact.
"""

NEAR_WORLD = 0.01
MARGIN = 0.3
LOW_PASS_PX2 = 0.3
MIN_ALPHA = 1 / 255
MAX_ALPHA = 0.999
MIN_THROUGH = 1e-4
MAX_LOG_SCALE = 30.0
MIN_QUAT = 1e-12
MIN_COVERAGE = 1e-4  # a pixel covered less has the depth 0: nothing is there
