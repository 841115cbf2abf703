"""A thin gRPC client of the storyboard server. Needs neither torch nor a server on this machine."""
