"""Scenes as files for other programs: PLY meshes and points, video. Takes callables and arrays, never a network."""
