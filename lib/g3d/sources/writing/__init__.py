"""Items => a dataset on disk: made in worker processes, written in order; what every item may need besides."""
