"""Kernels that are compiled while an image is built."""
