"""The single-machine AWS endpoint that really runs tasks behind a real load balancer."""
