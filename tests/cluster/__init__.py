"""Tries the chart on a real cluster: install, faults, scaling, upgrades, promotion, retraining, bad input."""
