"""Datasets: what `prepare-data` writes and every other command reads."""
