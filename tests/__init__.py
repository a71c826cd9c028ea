"""Tests; they mirror the code's path."""
