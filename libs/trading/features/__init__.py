"""The feature engine: one implementation for online, training and backtest."""
