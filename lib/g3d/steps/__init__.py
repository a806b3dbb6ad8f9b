"""One file per command, of the same name: `Options`, `resolve` (what --dry-run prints) and `run` (does it)."""
