"""Who asks: addresses, trusted proxies and what they forward, and how many connections each peer may have."""
