"""Triangle surfaces: read from mesh files, cast by rays, drawn from all sides."""
