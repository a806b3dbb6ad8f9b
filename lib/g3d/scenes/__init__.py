"""Scenes, the second waist: Gaussians | MlpField | Triplane, their files, and the MLPs that fields are."""
