"""Scenes => pictures on disk: the words of `--cameras`, and the painter behind `render` and `--render`."""
