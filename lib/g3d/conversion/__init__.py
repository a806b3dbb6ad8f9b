"""Any scene as 3D Gaussians, fitted to pictures that it draws of itself."""
