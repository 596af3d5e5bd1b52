"""`make demo`: gateway, agent and real applications behind them on this machine, by one command."""
