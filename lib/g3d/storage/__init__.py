"""Bytes on disk: artifacts of safetensors, whole or not at all; readers that execute nothing."""
