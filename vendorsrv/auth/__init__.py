"""Who asks, what they may, and vendorsrv's own account."""
