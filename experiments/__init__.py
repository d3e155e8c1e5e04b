"""Commands, and the packages behind them."""
