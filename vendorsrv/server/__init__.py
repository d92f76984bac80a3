"""HTTP, and the processes that serve it."""
