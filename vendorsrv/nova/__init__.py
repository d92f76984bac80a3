"""Nova as vendorsrv speaks to it, and as it behaves."""
