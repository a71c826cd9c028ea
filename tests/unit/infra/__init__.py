"""Tests of what the platform stands on."""
