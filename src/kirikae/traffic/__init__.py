"""Traffic: weights on the load balancer, and what both sides answered."""
