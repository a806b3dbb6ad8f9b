"""What measures files: reads pictures and shapes, runs networks, renders, plots, tabulates. Formulas: `metrics/`."""
