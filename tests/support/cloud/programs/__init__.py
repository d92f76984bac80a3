"""Programs that run as services of the cloud, each in a process of its own."""
